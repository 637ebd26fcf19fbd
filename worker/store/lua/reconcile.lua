-- Give every open order (or rental) of a caller that has lost its wake-up a new one. Expected never to find any.
-- KEYS 1 caller's open orders · 2 due:buy · 3 due:poll · 4 due:settle · 5 turns.  ARGV 1 from · 2 to (ranks). Returns { walked, mended… }
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lane_of = { queued = 2, buying = 2, waiting = 3, active = 3 }
local ids = redis.call("ZRANGE", KEYS[1], ARGV[1], ARGV[2])
local reply = { #ids }
for _, id in ipairs(ids) do
  local status = redis.call("HGET", "rb:order:" .. id, "s")
  if not status then
    redis.call("ZREM", KEYS[1], id)
  elseif not (redis.call("ZSCORE", KEYS[2], id) or redis.call("ZSCORE", KEYS[3], id) or redis.call("ZSCORE", KEYS[4], id)
      or redis.call("ZSCORE", KEYS[5], id)) then
    redis.call("ZADD", KEYS[lane_of[status] or 4], now, id)
    reply[#reply + 1] = id
  end
end
return reply
