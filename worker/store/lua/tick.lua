-- One tick of the clock: one worker holds the token; it counts what is due and tops the hints up to it.
-- KEYS 1 token · 2 last tick · 3 chores · 4 limit · 5 gate · 6 refresh requests · 7 erase · 8 turns · 9 paused items
--      then per lane: due:<lane>, hints:<lane>,
--      the broker's queue ("" when the broker is not in this database)
-- ARGV 1 worker · 2 token ms · 3 batch · 4 most hints a lane · 5 hint ms · 6 ms that polls wait for a fuller batch
--      7 chores n, then name, period ms, trigger ("" = none) · then lanes
-- Returns { "0" } to those without the token, else { "1", now, hints per lane…, names of due chores… }
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local holder = redis.call("GET", KEYS[1])
if holder and holder ~= ARGV[1] then return { "0" } end
redis.call("SET", KEYS[1], ARGV[1], "PX", tonumber(ARGV[2]))
redis.call("SET", KEYS[2], now)

-- A chore is due when its period is over, or after a second when its trigger says that there is something to do.
local function triggered(by)
  if by == "account" then return redis.call("EXISTS", KEYS[5], KEYS[6], KEYS[9]) > 0 end
  if by == "jobs" then return redis.call("EXISTS", "rb:jobs:open") > 0 end
  return by == "erasures" and redis.call("ZCOUNT", KEYS[7], "-inf", now) > 0
end
local batch, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local reply, chores, place = { "1", now }, {}, 8
for _ = 1, tonumber(ARGV[7]) do
  local name, period, trigger = ARGV[place], tonumber(ARGV[place + 1]), ARGV[place + 2]
  local last = tonumber(redis.call("HGET", KEYS[3], name) or "0")
  if now - last >= period or (now - last >= 1000 and triggered(trigger)) then
    redis.call("HSET", KEYS[3], name, now)
    chores[#chores + 1] = name
  end
  place = place + 3
end

local held = tonumber(redis.call("HGET", KEYS[4], "hold") or "0") > now
local key = 10
for lane = place, #ARGV do
  local wanted = 0
  if not (held and ARGV[lane] == "buy") then
    local due = redis.call("ZCOUNT", KEYS[key], "-inf", now)
    if ARGV[lane] == "buy" then due = due + redis.call("ZCARD", KEYS[8]) end
    -- A hint costs as much as many polls: fewer than a batch wait a little for company.
    if ARGV[lane] == "poll" and due > 0 and due < batch then
      local oldest = redis.call("ZRANGE", KEYS[key], 0, 0, "WITHSCORES")
      if tonumber(oldest[2]) > now - tonumber(ARGV[6]) then due = 0 end
    end
    if due > 0 then
      local hinted = tonumber(redis.call("GET", KEYS[key + 1]) or "0")
      -- What nobody consumes must not pile up in the queue.
      if KEYS[key + 2] ~= "" then hinted = math.max(hinted, redis.call("LLEN", KEYS[key + 2])) end
      wanted = math.max(0, math.min(most, math.ceil(due / batch)) - hinted)
      if wanted > 0 then redis.call("SET", KEYS[key + 1], hinted + wanted, "PX", tonumber(ARGV[5])) end
    end
  end
  reply[#reply + 1] = wanted
  key = key + 3
end
for _, name in ipairs(chores) do reply[#reply + 1] = name end
return reply
