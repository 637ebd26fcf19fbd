-- Give back what a worker was delivering: due at once, and its places at the receiving hosts are free.
-- A worker that has shown itself again in the meantime keeps everything.
-- KEYS 1 workers · 2 its deliveries · 3 due:deliver.  ARGV 1 worker · 2 most.  Gives how many
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(redis.call("ZSCORE", KEYS[1], ARGV[1]) or "0") > now then return 0 end
local begun, given = redis.call("ZPOPMIN", KEYS[2], tonumber(ARGV[2])), 0
for i = 1, #begun, 2 do
  local id, lease = begun[i], tonumber(begun[i + 1])
  -- Only what still stands under this very lease: the rest has been recorded, or somebody else has it.
  if tonumber(redis.call("ZSCORE", KEYS[3], id) or "0") == lease and lease > now then
    redis.call("ZADD", KEYS[3], now, id)
    redis.call("ZREM", "rb:host:" .. (redis.call("HGET", "rb:event:" .. id, "h") or ""), id)
    given = given + 1
  end
end
if redis.call("EXISTS", KEYS[2]) == 0 then redis.call("ZREM", KEYS[1], ARGV[1]) end
return given
