-- Write a caller under the version that was read, and point its API key at it.
-- KEYS 1 caller · 2 callers · 3 API key before ("" for a new caller) · 4 API key after ("" when revoked)
-- ARGV 1 id · 2 expected version (0: there is none yet) · 3 new version · 4 sealed record
--      5 spend cap in 1/10000 PKR ("" = none): `save.lua` holds purchases against it · 6 weight
local version = tonumber(redis.call("HGET", KEYS[1], "v") or "0")
if version ~= tonumber(ARGV[2]) then return version == 0 and "missing" or "conflict" end
redis.call("HSET", KEYS[1], "v", ARGV[3])
if ARGV[5] ~= "" then redis.call("HSET", KEYS[1], "m", ARGV[5]) else redis.call("HDEL", KEYS[1], "m") end
redis.call("HSET", "rb:turns:callers", ARGV[1] .. ":weight", ARGV[6])
redis.call("SET", KEYS[1] .. ":record", ARGV[4])
redis.call("SADD", KEYS[2], ARGV[1])
if KEYS[3] ~= "" and KEYS[3] ~= KEYS[4] then redis.call("DEL", KEYS[3]) end
if KEYS[4] ~= "" then redis.call("SET", KEYS[4], ARGV[1]) end
return "saved"
