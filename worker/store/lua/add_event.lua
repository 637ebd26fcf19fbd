-- Owe a webhook that belongs to no order.
-- KEYS 1 event · 2 caller's events · 3 caller's sequence · 4 due:deliver
-- ARGV 1 id · 2 caller · 3 type · 4 host · 5 endpoint · 6 sealed record · 7 retention s
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local sequence = redis.call("INCR", KEYS[3])
redis.call("HSET", KEYS[1], "v", 1, "s", "pending", "c", ARGV[2], "o", "", "t", ARGV[3], "h", ARGV[4], "p", ARGV[5], "q", sequence)
redis.call("SET", KEYS[1] .. ":record", ARGV[6], "EX", ARGV[7])
redis.call("EXPIRE", KEYS[1], ARGV[7])
redis.call("ZADD", KEYS[2], sequence, ARGV[1])
redis.call("ZADD", KEYS[4], now, ARGV[1])
return sequence
