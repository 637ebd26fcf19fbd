-- Claim webhooks that are due, as far as there is room for each: at its endpoint (a caller's callback without its query), at
-- the receiving host, and in its caller's share of all deliveries. What finds no room is put off and queues up there: the
-- next free place wakes it (record_attempt.lua), so it stands in nobody's way.
-- A failing endpoint, or a host that cannot be reached, gets one attempt at a time until one succeeds.
-- Of a host's places an endpoint may always take its first as long as its caller has fewer of them than are free; its
-- others only while few are taken. So neither many endpoints nor slow ones shut a newcomer out.
-- KEYS 1 due:deliver · 2 hints · 3 what this worker claimed of late
-- ARGV 1 most · 2 most to look at · 3 lease ms · 4 in flight per endpoint · 5 per host · 6 per caller
--      7 failures until there are only probes · 8 places free in this process
-- Returns { now, then per event: id, flat hash, sealed record }
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most, lease, per_host = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[5])
if tonumber(redis.call("GET", KEYS[2]) or "0") > 0 then redis.call("DECR", KEYS[2]) end
redis.call("ZREMRANGEBYSCORE", KEYS[3], "-inf", now)

local counted, failing, free = {}, {}, tonumber(ARGV[8])
local function flying(key)
  if not counted[key] then
    redis.call("ZREMRANGEBYSCORE", key, "-inf", now)
    counted[key] = redis.call("ZCARD", key)
  end
  return counted[key]
end
local function probed(key)
  if failing[key] == nil then failing[key] = tonumber(redis.call("GET", key .. ":failures") or "0") >= tonumber(ARGV[7]) end
  return failing[key]
end
-- Whose places are taken: nil when there is room, else "endpoint" or where the endpoint queues up for its turn.
local function full(endpoint, host, guest, share)
  if flying(endpoint) >= (probed(endpoint) and 1 or tonumber(ARGV[4])) then return "endpoint" end
  if probed(host) then
    if flying(host) >= 1 then return host end
  elseif flying(guest) >= per_host - flying(host) then
    return host
  elseif flying(endpoint) > 0 and (flying(host) >= per_host / 2 or flying(guest) >= per_host / 4) then
    return host
  end
  if flying(share) >= math.min(tonumber(ARGV[6]), free) then return share end
end

local claimed = { now }
local due = redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", now, "WITHSCORES", "LIMIT", 0, tonumber(ARGV[2]))
for i = 1, #due, 2 do
  local id = due[i]
  if (#claimed - 1) / 3 >= most then break end
  local event = "rb:event:" .. id
  local known = redis.call("HMGET", event, "h", "p", "c")
  if not known[1] then
    redis.call("ZREM", KEYS[1], id)
  else
    local endpoint, host = "rb:endpoint:" .. (known[2] or known[1]), "rb:host:" .. known[1]
    local guest, share = host .. ":" .. known[3], "rb:caller:" .. known[3] .. ":delivering"
    redis.call("ZADD", KEYS[1], now + lease, id)
    local taken = full(endpoint, host, guest, share)
    if taken then
      redis.call("ZADD", endpoint .. ":waiting", "NX", due[i + 1], id)
      redis.call("PEXPIRE", endpoint .. ":waiting", lease * 2)
      if taken ~= "endpoint" then
        redis.call("ZADD", taken .. ":waiting", "NX", now, endpoint)
        redis.call("PEXPIRE", taken .. ":waiting", lease * 2)
      end
    else
      for _, key in ipairs({ endpoint, host, guest, share }) do
        counted[key] = flying(key) + 1
        redis.call("ZADD", key, now + lease, id)
        redis.call("PEXPIRE", key, lease + 1000)
      end
      free = free - 1
      redis.call("ZADD", KEYS[3], now + lease, id)
      if redis.call("ZREM", endpoint .. ":waiting", id) == 1 and redis.call("ZCARD", endpoint .. ":waiting") == 0 then
        redis.call("ZREM", host .. ":waiting", endpoint)
        redis.call("ZREM", share .. ":waiting", endpoint)
      end
      claimed[#claimed + 1] = id
      claimed[#claimed + 1] = redis.call("HGETALL", event)
      claimed[#claimed + 1] = redis.call("GET", event .. ":record")
    end
  end
end
redis.call("PEXPIRE", KEYS[3], lease + 1000)
return claimed
