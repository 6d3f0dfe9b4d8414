-- Writes each record whose value is still the expected one and publishes the changes, as one step.
--
-- KEYS: one per write. ARGV: "all" (all or none) or "each"; an epoch for a feed that has none; the length of the feed;
-- then per write five: database, action, expected value, new value, change to publish ("" = none). The actions are
-- "add" (expects no record), "set", "delete", "same" (only checks), "must" (only checks, and without it nothing is
-- written) and "absent" (only checks that there is none).
-- Returns the epoch, the revision of the last change published here ("0" = none) and the indexes of the writes that lost.

local OURS, FEED, HEAD = '6', 'bos:feed', 'bos:feed:head'
local db
local function use(number)
  if number ~= db then
    redis.call('SELECT', number)
    db = number
  end
end

local won, lost, published, none = {}, {}, 0, false
for i = 1, #KEYS do
  local at = 3 + (i - 1) * 5
  local action, expected = ARGV[at + 2], ARGV[at + 3]
  if action == 'add' or action == 'absent' then
    expected = false
  end
  use(ARGV[at + 1])
  if redis.call('GET', KEYS[i]) == expected then
    won[#won + 1] = i
    if ARGV[at + 5] ~= '' then
      published = published + 1
    end
  else
    lost[#lost + 1] = i - 1
    none = none or ARGV[1] == 'all' or action == 'must'
  end
end
if none then
  if ARGV[1] ~= 'all' then
    for i = 1, #KEYS do
      lost[i] = i - 1
    end
  end
  use(OURS)
  return { '', '0', lost }
end

-- The feed comes first: should it refuse, nothing has been written yet.
local epoch, last = '', 0
if published > 0 then
  use(OURS)
  epoch = redis.call('HGET', HEAD, 'epoch')
  if not epoch then
    epoch = ARGV[2]
    redis.call('HSET', HEAD, 'epoch', epoch)
  end
  last = redis.call('HINCRBY', HEAD, 'rev', published)
  local revision = last - published
  for _, i in ipairs(won) do
    local change = ARGV[3 + (i - 1) * 5 + 5]
    if change ~= '' then
      revision = revision + 1
      redis.call('XADD', FEED, 'MAXLEN', '~', ARGV[3], '*', 'e', epoch, 'r', string.format('%.0f', revision), 'c', change)
    end
  end
end

for _, i in ipairs(won) do
  local at = 3 + (i - 1) * 5
  local action = ARGV[at + 2]
  if action == 'add' or action == 'set' then
    use(ARGV[at + 1])
    redis.call('SET', KEYS[i], ARGV[at + 4])
  elseif action == 'delete' then
    use(ARGV[at + 1])
    redis.call('DEL', KEYS[i])
  end
end
use(OURS)
return { epoch, string.format('%.0f', last), lost }
