-- Note the newest format that a version has worked with on this store.
-- KEYS 1 format.  ARGV 1 this version's format. Returns the format that counts from now on
local held = tonumber(redis.call("GET", KEYS[1]) or "0")
if held >= tonumber(ARGV[1]) then return held end
redis.call("SET", KEYS[1], ARGV[1])
return tonumber(ARGV[1])
