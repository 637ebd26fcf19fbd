-- Pause buying.
-- KEYS 1 gate.  ARGV 1 reason · 2 details
redis.call("HSET", KEYS[1], ARGV[1], ARGV[2])
return 1
