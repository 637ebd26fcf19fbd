-- Write an operator under the version that was read.
-- KEYS 1 operator · 2 operators.  ARGV 1 id · 2 expected version (0: there is none yet) · 3 new version · 4 sealed record
local version = tonumber(redis.call("HGET", KEYS[1], "v") or "0")
if version ~= tonumber(ARGV[2]) then return version == 0 and "missing" or "conflict" end
redis.call("HSET", KEYS[1], "v", ARGV[3])
redis.call("SET", KEYS[1] .. ":record", ARGV[4])
redis.call("SADD", KEYS[2], ARGV[1])
return "saved"
