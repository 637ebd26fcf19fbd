-- Claim what is due in a lane of orders. The claim is the next schedule: each entry is re-scored before it is handed
-- out, so whoever drops it costs one round. An order whose deadline comes before its next poll moves on to `settle`.
-- In `buy` what is due gets a turn among the callers first, and the first turns are claimed.
-- Under a cap cancels go before polls, and polls before purchases; but of five calls one may be a purchase.
-- Needs rate.lua, turns.lua.
-- KEYS 1 the lane's due set · 2 due:settle · 3 hints · 4 limit · 5 due:poll · 6 turns
-- ARGV 1 lane · 2 most · 3 ms until it is due again · 4 cap on calls per second ("" = none)
-- Returns { now ms, ms between two calls (0 = at once), ms until the first, then per entry: id [, activation, ms late for polls] }
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lane, most, again = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if tonumber(redis.call("GET", KEYS[3]) or "0") > 0 then redis.call("DECR", KEYS[3]) end

local limit = redis.call("HMGET", KEYS[4], "hold", "rate", "since", "next", "others")
local hold = tonumber(limit[1] or "0")
local rate = calls_per_second(now, tonumber(limit[2] or "0"), tonumber(limit[3] or "0"), tonumber(ARGV[4]))
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

-- What is due in `buy` gets its turn; the order without a caller (its record is gone) has the caller "".
local function give_turns()
  local due, callers = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "LIMIT", 0, 2000), {}
  if #due == 0 then return end
  for i, id in ipairs(due) do callers[i] = redis.call("HGET", "rb:order:" .. id, "c") or "" end
  enter_turns(due, callers)
  redis.call("ZREM", KEYS[1], unpack(due))
end
-- The orders whose turn it is, taken out; virtual time moves on to the last of them.
local function take_turns(wanted)
  local popped, ids = redis.call("ZPOPMIN", KEYS[6], wanted), {}
  for i = 1, #popped, 2 do ids[#ids + 1] = popped[i] end
  if #ids > 0 then redis.call("HSET", "rb:turns:callers", "now", popped[#popped], "at", now) end
  return ids
end

local gap, first, next_slot = 0, 0, tonumber(limit[4] or "0")
local others = tonumber(limit[5] or "0")
if rate > 0 then
  gap = 1000 / rate
  next_slot = math.max(next_slot, now)
  -- Cancels outrank polls, polls outrank buys: what is due there keeps its share of the coming second.
  local ahead = 0
  if lane ~= "settle" then ahead = 2 * redis.call("ZCOUNT", KEYS[2], "-inf", now) end
  if lane == "buy" then ahead = ahead + redis.call("ZCOUNT", KEYS[5], "-inf", now) end
  local window = math.max(1000, gap)
  local room = math.floor((now + window - next_slot) / gap) - ahead
  if lane == "buy" then room = math.max(room, math.floor(others / 4)) end
  most = math.min(most, room)
  first = next_slot - now
end
if lane == "buy" then give_turns() end
if most < 1 then return { now, 0, 0 } end

local due, late = {}, {}
if lane == "buy" then
  due = take_turns(most)
else
  local found = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "WITHSCORES", "LIMIT", 0, most)
  for n = 1, #found, 2 do
    due[#due + 1], late[#late + 1] = found[n], now - tonumber(found[n + 1])
  end
end
local claimed = { now, tostring(gap), math.floor(first) }
if lane ~= "poll" then
  local leases = {}
  for place, id in ipairs(due) do
    leases[2 * place - 1], leases[2 * place] = now + again, id
    claimed[#claimed + 1] = id
  end
  if #due > 0 then redis.call("ZADD", KEYS[1], unpack(leases)) end
else
  for place, id in ipairs(due) do
    -- The cap spreads these calls; an order's next poll keeps its distance from this one all the same.
    local at = now + again + math.floor(first + gap * (place - 1))
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
      claimed[#claimed + 1] = tostring(late[place])
    else
      redis.call("ZREM", KEYS[1], id)
    end
  end
end
if gap > 0 and #due > 0 then
  -- Calls of the others since the last purchases: four of them earn a purchase its share, a second's worth at most.
  if lane == "buy" then others = math.max(0, others - 4 * #due) else others = math.min(others + #due, math.max(4, rate)) end
  redis.call("HSET", KEYS[4], "next", tostring(next_slot + gap * #due), "others", others)
end
return claimed
