-- Write an event's record anew without touching its delivery, unless it was changed since it was read.
-- KEYS 1 event.  ARGV 1 expected version · 2 new version · 3 sealed record. Returns 1 or 0
if redis.call("HGET", KEYS[1], "v") ~= ARGV[1] then return 0 end
redis.call("HSET", KEYS[1], "v", ARGV[2])
redis.call("SET", KEYS[1] .. ":record", ARGV[3], "KEEPTTL")
return 1
