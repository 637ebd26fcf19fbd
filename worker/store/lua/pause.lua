-- Pause buying, even when the store is full.
-- KEYS 1 gate · 2 a key that is never there.  ARGV 1 reason · 2 details
-- A write that takes no memory comes first: a script that has begun to write is let go on by a server that is full.
redis.call("DEL", KEYS[2])
redis.call("HSET", KEYS[1], ARGV[1], ARGV[2])
return 1
