-- Save an order with the wake-up that follows from it, the webhooks that it causes and its line in the journal:
-- all of it, or (when somebody else wrote in between) nothing.
-- KEYS 1 order · 2 caller's open orders · 3 due:buy · 4 due:poll · 5 due:settle · 6 due:deliver · 7 caller's events
--      8 caller's sequence · 9 journal · 10 erase · 11 activation ("" unless newly assigned)
--      12 caller's spend of the day ("" unless it changes) · 13 caller · 14 turns
--      15 all of its kind in the state before · 16 and in the state after
--      17 those whose money is in doubt ("" unless it comes to be, or ceases)
-- ARGV 1 expected version · 2 writer · 3 id · 4 new version · 5 status · 6 activation · 7 cancel_at ms · 8 sealed record
--      9 wake lane ("" = none) · 10 wake at ms ("" = now) · 11 "1" = not before the poll already scheduled · 12 retention s ("" = open)
--      13 erase at ms ("" = leave, "0" = done) · 14 by how much the spend changes, in 1/10000 PKR
--      15 "1" = its money is in doubt now · 16 s for which the sums of a day are kept
--      17 events n, then per event: id, type, status, host, endpoint, sealed record · then journal pairs
-- Returns {"saved"} · {"conflict"} · {"missing"} · {"duplicate", owner} · {"over_cap"}
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call("HMGET", KEYS[1], "v", "w", "c", "e", "a")
if not held[1] then return { "missing" } end
if held[1] ~= ARGV[1] then
  -- A repeated write of ours (the first answer was lost on the way) has happened already.
  if held[2] == ARGV[2] then return { "saved" } end
  return { "conflict" }
end
local id, caller = ARGV[3], held[3]

if KEYS[11] ~= "" then
  local owner = redis.call("GET", KEYS[11])
  if owner and owner ~= id then return { "duplicate", owner } end
  redis.call("SET", KEYS[11], id)
end

if KEYS[12] ~= "" then
  local change = tonumber(ARGV[14])
  -- What is bought already is written down whatever the cap says: the store may have forgotten that it had room.
  local most = change > 0 and KEYS[11] == "" and redis.call("HGET", KEYS[13], "m")
  if most and tonumber(redis.call("GET", KEYS[12]) or "0") + change > tonumber(most) then return { "over_cap" } end
  redis.call("INCRBY", KEYS[12], ARGV[14])
  redis.call("EXPIRE", KEYS[12], 172800)
end

redis.call("HSET", KEYS[1], "v", ARGV[4], "s", ARGV[5], "w", ARGV[2])
redis.call("SET", KEYS[1] .. ":record", ARGV[8], "KEEPTTL")
if ARGV[6] ~= "" then redis.call("HSET", KEYS[1], "a", ARGV[6], "k", ARGV[7]) end

if KEYS[15] ~= KEYS[16] then
  local created = redis.call("ZSCORE", KEYS[15], id)
  if created then redis.call("ZREM", KEYS[15], id) end
  redis.call("ZADD", KEYS[16], created or now, id)
end
if KEYS[17] ~= "" then
  if ARGV[15] == "1" then redis.call("ZADD", KEYS[17], now, id) else redis.call("ZREM", KEYS[17], id) end
end

local scheduled = redis.call("ZSCORE", KEYS[4], id) or redis.call("ZSCORE", KEYS[5], id)
for lane = 3, 5 do redis.call("ZREM", KEYS[lane], id) end
if redis.call("ZREM", KEYS[14], id) == 1 then
  -- It left before its turn, which its caller has back.
  local weight = tonumber(redis.call("HGET", "rb:turns:callers", caller .. ":weight") or "1")
  redis.call("HINCRBYFLOAT", "rb:turns:callers", caller, -1 / weight)
end
if ARGV[9] ~= "" then
  local at = tonumber(ARGV[10]) or now
  if ARGV[11] == "1" and scheduled then at = math.max(at, tonumber(scheduled)) end
  redis.call("ZADD", ({ buy = KEYS[3], poll = KEYS[4], settle = KEYS[5] })[ARGV[9]], at, id)
else
  redis.call("ZREM", KEYS[2], id)
end

local place, reply, written = 18, held[4] or "", 0
for _ = 1, tonumber(ARGV[17]) do
  local event_id, kind, status, host, endpoint, record = unpack(ARGV, place, place + 5)
  local event, sequence = "rb:event:" .. event_id, redis.call("INCR", KEYS[8])
  redis.call("HSET", event, "v", 1, "s", status, "c", caller, "o", id, "t", kind, "h", host, "p", endpoint, "q", sequence)
  redis.call("SET", event .. ":record", record)
  redis.call("ZADD", KEYS[7], sequence, event_id)
  reply = reply .. event_id .. " "
  -- What is only recorded is pushed to nobody: it waits to be read.
  if status == "pending" then redis.call("ZADD", KEYS[6], now, event_id) end
  written = written + #record + 512
  place = place + 6
end
if written > 0 then redis.call("HINCRBY", "rb:caller:" .. caller .. ":bytes", math.floor(now / 86400000), written) end

if reply ~= "" then redis.call("HSET", KEYS[1], "e", reply) end

if ARGV[12] ~= "" then
  local seconds = tonumber(ARGV[12])
  redis.call("EXPIRE", KEYS[1], seconds)
  redis.call("EXPIRE", KEYS[1] .. ":record", seconds)
  for event_id in string.gmatch(reply, "%S+") do
    redis.call("EXPIRE", "rb:event:" .. event_id, seconds)
    redis.call("EXPIRE", "rb:event:" .. event_id .. ":record", seconds)
  end
  local activation = ARGV[6] ~= "" and ARGV[6] or held[5]
  if activation then redis.call("EXPIRE", "rb:activation:" .. activation, seconds) end
end
if ARGV[13] == "0" then redis.call("ZREM", KEYS[10], id) elseif ARGV[13] ~= "" then redis.call("ZADD", KEYS[10], "LT", ARGV[13], id) end
if ARGV[place] then
  local entry = { "XADD", KEYS[9], "*" }
  for i = place, #ARGV do entry[#entry + 1] = ARGV[i] end
  local written, told = redis.call(unpack(entry)), {}
  for i = place, #ARGV, 2 do told[ARGV[i]] = ARGV[i + 1] end
  -- The order knows its own lines, and the day what it cost: nobody has to walk the journal for either.
  redis.call("HSET", KEYS[1], "j:" .. written, told.kind)
  local day, sum = "rb:money:" .. math.floor(now / 86400000), told.kind .. "|" .. caller .. "|" .. told.product
  redis.call("HINCRBY", day, sum, 1)
  if told.price then redis.call("HINCRBYFLOAT", day, sum .. "|pkr", told.price) end
  redis.call("EXPIRE", day, ARGV[16])
end
return { "saved" }
