-- Gives the feed an epoch where it has none, and a new one when the server is not the one that it was begun on: after a
-- restart or a failover the latest writes may be lost and their revisions given out again.
--
-- ARGV: the server's run id ("" = unknown), the new epoch, the length of the feed.

local FEED, HEAD = 'bos:feed', 'bos:feed:head'
local head = redis.call('HMGET', HEAD, 'epoch', 'run')
if head[1] and (ARGV[1] == '' or head[2] == ARGV[1]) then
  return 0
end
local revision = redis.call('HINCRBY', HEAD, 'rev', 1)
redis.call('XADD', FEED, 'MAXLEN', '~', ARGV[3], '*', 'e', ARGV[2], 'r', string.format('%.0f', revision), 'c', '{"kind":"resync"}')
redis.call('HSET', HEAD, 'epoch', ARGV[2], 'run', ARGV[1])
return 1
