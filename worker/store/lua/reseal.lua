-- Write a record sealed anew, if it is still the one that was read; whoever wrote in between has sealed it anew already.
-- KEYS 1 record.  ARGV 1 field of the record's hash ("" = it is a string) · 2 as it was read · 3 sealed anew. Returns 1 or 0
local held
if ARGV[1] == "" then held = redis.call("GET", KEYS[1]) else held = redis.call("HGET", KEYS[1], ARGV[1]) end
if held ~= ARGV[2] then return 0 end
if ARGV[1] == "" then redis.call("SET", KEYS[1], ARGV[3], "KEEPTTL") else redis.call("HSET", KEYS[1], ARGV[1], ARGV[3]) end
return 1
