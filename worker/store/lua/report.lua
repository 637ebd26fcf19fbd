-- Take a process's report into what all processes have counted, once however often it is sent.
-- KEYS 1 counters · 2 exemplars · 3 callers with series of their own · 4 levels · 5 the process's last report ·
--      6 when what needs a person was last counted · 7 what the keys of the hours' figures begin with
-- ARGV 1 process · 2 number of the report · 3 levels as JSON ("" = it has ended) · 4 most callers · 5 counts n ·
--      6 how many of them, the first, need a person · 7 the names, between spaces, that are kept by the minute too ·
--      8 for how many s · then field, amount · then exemplars: field, text
-- Returns 1 · 0 when it had arrived before
local time = redis.call("TIME")
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if ARGV[3] == "" then
  redis.call("HDEL", KEYS[4], ARGV[1])
else
  redis.call("HSET", KEYS[4], ARGV[1], now .. " " .. ARGV[3])
end
if redis.call("GET", KEYS[5]) == ARGV[2] then return 0 end
redis.call("SET", KEYS[5], ARGV[2], "EX", 3600)

-- Series are few for ever: the callers beyond so many share one.
local function bounded(field)
  local caller = string.match(field, 'caller="([^"]*)"')
  if not caller or redis.call("SISMEMBER", KEYS[3], caller) == 1 then return field end
  if redis.call("SCARD", KEYS[3]) < tonumber(ARGV[4]) then
    redis.call("SADD", KEYS[3], caller)
    return field
  end
  return (string.gsub(field, 'caller="[^"]*"', 'caller="other"'))
end
local minute, hour, timed = math.floor(now / 60000), KEYS[7] .. math.floor(now / 3600000), false
local place = 9
for count = 1, tonumber(ARGV[5]) do
  redis.call("HINCRBYFLOAT", KEYS[1], bounded(ARGV[place]), ARGV[place + 1])
  if count <= tonumber(ARGV[6]) then redis.call("HSET", KEYS[6], ARGV[place], now) end
  if string.find(ARGV[7], " " .. string.match(ARGV[place], "^[^{]*") .. " ", 1, true) then
    redis.call("HINCRBYFLOAT", hour, minute .. "|" .. ARGV[place], ARGV[place + 1])
    timed = true
  end
  place = place + 2
end
if timed then redis.call("EXPIRE", hour, ARGV[8]) end
while ARGV[place] do
  redis.call("HSET", KEYS[2], ARGV[place], ARGV[place + 1])
  place = place + 2
end
return 1
