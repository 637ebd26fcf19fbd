-- Claim what is due in a lane of orders. The claim is the next schedule: each entry is re-scored before it is handed
-- out, so whoever drops it costs one round. An order whose deadline comes before its next poll moves on to `settle`.
-- KEYS 1 the lane's due set · 2 due:settle · 3 hints · 4 limit · 5 due:poll
-- ARGV 1 lane · 2 most · 3 ms until it is due again · 4 cap on calls per second ("" = none)
-- Returns { now ms, ms between two calls (0 = at once), ms until the first, then per entry: id [, activation, ms late for polls] }
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lane, most, again = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if tonumber(redis.call("GET", KEYS[3]) or "0") > 0 then redis.call("DECR", KEYS[3]) end

local limit = redis.call("HMGET", KEYS[4], "hold", "rate", "since", "next")
local hold, since = tonumber(limit[1] or "0"), tonumber(limit[3] or "0")
local rate = tonumber(limit[2] or "0")
if rate > 0 then
  -- Additive increase: a thirtieth of the halved rate, and at least half a call, a second; forgotten after five minutes.
  if now - since > 300000 then rate = 0 else rate = rate + math.max(0.5, rate / 30) * (now - since) / 1000 end
end
local cap = tonumber(ARGV[4])
if cap and (rate == 0 or cap < rate) then rate = cap end
if lane ~= "settle" and hold > now then
  if lane == "buy" then return { now, 0, 0 } end
  -- Nobody is polled until the hold ends, but it keeps no order from its deadline.
  for _, id in ipairs(redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "LIMIT", 0, most)) do
    local cancel_at = tonumber(redis.call("HGET", "rb:order:" .. id, "k") or "0")
    if cancel_at > hold then
      redis.call("ZADD", KEYS[1], hold, id)
    else
      redis.call("ZREM", KEYS[1], id)
      if cancel_at > 0 then redis.call("ZADD", KEYS[2], math.max(now, cancel_at), id) end
    end
  end
  return { now, 0, 0 }
end

local gap, first, next_slot = 0, 0, tonumber(limit[4] or "0")
if rate > 0 then
  gap = 1000 / rate
  next_slot = math.max(next_slot, now)
  -- Cancels outrank polls, polls outrank buys: what is due there keeps its share of the coming second.
  local ahead = 0
  if lane ~= "settle" then ahead = 2 * redis.call("ZCOUNT", KEYS[2], "-inf", now) end
  if lane == "buy" then ahead = ahead + redis.call("ZCOUNT", KEYS[5], "-inf", now) end
  local window = math.max(1000, gap)
  most = math.min(most, math.floor((now + window - next_slot) / gap) - ahead)
  first = next_slot - now
end
if most < 1 then return { now, 0, 0 } end

local due = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "WITHSCORES", "LIMIT", 0, most)
local claimed = { now, tostring(gap), math.floor(first) }
if lane ~= "poll" then
  for n = 1, #due, 2 do
    redis.call("ZADD", KEYS[1], now + again, due[n])
    claimed[#claimed + 1] = due[n]
  end
else
  for n = 1, #due, 2 do
    local id = due[n]
    -- The cap spreads these calls; an order's next poll keeps its distance from this one all the same.
    local at = now + again + math.floor(first + gap * (n - 1) / 2)
    local known = redis.call("HMGET", "rb:order:" .. id, "a", "k")
    if known[1] then
      local cancel_at = tonumber(known[2])
      if at >= cancel_at then
        redis.call("ZREM", KEYS[1], id)
        redis.call("ZADD", KEYS[2], math.max(at, cancel_at), id)
      else
        redis.call("ZADD", KEYS[1], at, id)
      end
      claimed[#claimed + 1] = id
      claimed[#claimed + 1] = known[1]
      claimed[#claimed + 1] = tostring(now - tonumber(due[n + 1]))
    else
      redis.call("ZREM", KEYS[1], id)
    end
  end
end
if gap > 0 and #due > 0 then
  redis.call("HSET", KEYS[4], "next", tostring(next_slot + gap * #due / 2))
end
return claimed
