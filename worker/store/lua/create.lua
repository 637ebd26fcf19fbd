-- Accept an order: its record, its wake-up and its idempotency record, or nothing at all.
-- Needs turns.lua.
-- KEYS 1 order · 2 caller's open orders · 3 caller's orders · 4 due:buy · 5 idempotency record ("" without a key) · 6 gate
--      7 all of its kind that are queued
-- ARGV 1 id · 2 caller · 3 sealed record · 4 writer · 5 body hash · 6 sealed first answer · 7 idempotency ttl s
--      8 most in flight · 9 most per minute · 10 most per day ("" = no cap)
--      11 spend cap of a day · 12 the least that the purchase will count, both in 1/10000 PKR
--      13 most bytes stored ("" = no bound) · 14 days for which bytes count
-- Returns {"created"} · {"replay", answer} · {"mismatch"} · {"closed", reason} · {"capped", cap, seconds until free}
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local id, caller = ARGV[1], ARGV[2]

-- A repeated call of ours (the first answer was lost on the way): by now a worker may have bought the number.
if redis.call("EXISTS", KEYS[1]) == 1 then return { "created" } end

if KEYS[5] ~= "" then
  local known = redis.call("HMGET", KEYS[5], "b", "r")
  if known[1] then
    if known[1] == ARGV[5] then return { "replay", known[2] } end
    return { "mismatch" }
  end
end

for _, reason in ipairs({ "switched_off", "below_min_balance" }) do
  if redis.call("HEXISTS", KEYS[6], reason) == 1 then return { "closed", reason } end
end

local function counter(kind, seconds) return "rb:caller:" .. caller .. ":count:" .. kind .. ":" .. math.floor(now / 1000 / seconds) end
local function left(seconds) return seconds - math.floor(now / 1000) % seconds end
if ARGV[8] ~= "" and redis.call("ZCARD", KEYS[2]) >= tonumber(ARGV[8]) then return { "capped", "max_in_flight", 5 } end
local windows = { { "m", 60, ARGV[9], "orders_per_minute" }, { "d", 86400, ARGV[10], "orders_per_day" } }
for _, w in ipairs(windows) do
  if w[3] ~= "" and tonumber(redis.call("GET", counter(w[1], w[2])) or "0") >= tonumber(w[3]) then
    return { "capped", w[4], left(w[2]) }
  end
end
if ARGV[11] ~= "" then
  -- Only a purchase that is sent counts: this refuses what could not be sent now, and `save.lua` has the last word.
  local spent = tonumber(redis.call("GET", "rb:caller:" .. caller .. ":spent:" .. math.floor(now / 86400000)) or "0")
  if spent + math.max(1, tonumber(ARGV[12])) > tonumber(ARGV[11]) then return { "capped", "spend_per_day", left(86400) } end
end

local hold = redis.call("TTL", "rb:caller:" .. caller .. ":hold")
if hold > 0 then return { "capped", "orders_refused", hold } end
local bytes, day, stored = "rb:caller:" .. caller .. ":bytes", math.floor(now / 86400000), 0
local written = redis.call("HGETALL", bytes)
for i = 1, #written, 2 do
  if tonumber(written[i]) < day - tonumber(ARGV[14]) then redis.call("HDEL", bytes, written[i])
  else stored = stored + tonumber(written[i + 1]) end
end
if ARGV[13] ~= "" and stored >= tonumber(ARGV[13]) then return { "capped", "storage_full", math.min(left(86400), 3600) } end
redis.call("HINCRBY", bytes, day, #ARGV[3] + #ARGV[6] + 512)  -- keys, hashes and places in indexes come on top

for _, w in ipairs(windows) do
  if w[3] ~= "" then
    redis.call("INCR", counter(w[1], w[2]))
    redis.call("EXPIRE", counter(w[1], w[2]), w[2] * 2)
  end
end

redis.call("HSET", KEYS[1], "v", 1, "s", "queued", "c", caller, "w", ARGV[4])
redis.call("SET", KEYS[1] .. ":record", ARGV[3])
redis.call("ZADD", KEYS[2], now, id)
redis.call("ZADD", KEYS[3], now, id)
enter_turns({ id }, { caller })
redis.call("ZADD", KEYS[7], now, id)
if KEYS[5] ~= "" then
  redis.call("HSET", KEYS[5], "b", ARGV[5], "r", ARGV[6])
  redis.call("EXPIRE", KEYS[5], tonumber(ARGV[7]))
end
return { "created" }
