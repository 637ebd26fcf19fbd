-- The provider's limiter: how many calls a second are allowed now; 0 is no limit.
-- `halved` calls a second were allowed at `since` (ms), after the provider asked for less; `cap` is the operator's, or nil.
local function calls_per_second(now, halved, since, cap)
  local rate = halved
  if rate > 0 then
    -- Additive increase: a thirtieth of the halved rate, and at least half a call, a second; forgotten after five minutes.
    if now - since > 300000 then rate = 0 else rate = rate + math.max(0.5, rate / 30) * (now - since) / 1000 end
  end
  if cap and (rate == 0 or cap < rate) then rate = cap end
  return rate
end
