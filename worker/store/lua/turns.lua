-- Turns between callers: start-time fair queueing. An order's turn is a moment of virtual time, in which 1 is one order of
-- every caller: it is now (a newcomer is next) or, if that is later, where the turn of its caller's order before it ends.
-- Shared by scripts whose KEYS differ, so the keys are named here: rb:turns and rb:turns:callers (worker/store/keys.py).
local function turn_text(turn) return string.format("%.6f", turn) end

-- Give these orders turns, in this order; `callers` are theirs.
local function enter_turns(ids, callers)
  local asked, place = { "now" }, {}
  for _, caller in ipairs(callers) do
    if not place[caller] then
      place[caller] = #asked + 1
      asked[#asked + 1] = caller
      asked[#asked + 1] = caller .. ":weight"
    end
  end
  local known = redis.call("HMGET", "rb:turns:callers", unpack(asked))
  local turns, ends = {}, {}
  for i, caller in ipairs(callers) do
    local turn = math.max(tonumber(known[1] or "0"), tonumber(known[place[caller]] or "0"))
    local after = turn + 1 / tonumber(known[place[caller] + 1] or "1")
    known[place[caller]] = after
    turns[#turns + 1] = turn_text(turn)
    turns[#turns + 1] = ids[i]
  end
  for caller, at in pairs(place) do
    ends[#ends + 1] = caller
    ends[#ends + 1] = turn_text(known[at])
  end
  redis.call("ZADD", "rb:turns", unpack(turns))
  redis.call("HSET", "rb:turns:callers", unpack(ends))
end
