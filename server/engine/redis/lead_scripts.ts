/**
 * The scripts of servers: the beat, the campaign, the renewal, and what a lead finds when it opens the store. The time is
 * that of Redis. A first write that removes nothing lets the others pass while Redis has no room: a full store must not
 * cost its leader the lead.
 *
 * Fields of `lead`:
 * - `epoch`, `token`, `server`, `address`;
 * - `until`: the end of the lease; 0 once it was resigned;
 * - `commit`: the number of the last commit;
 * - `connection`, `run`: the connection that renews, and the run of Redis that knows it by this number;
 * - `beforeToken`, `beforeCommit`: the same of the lead before.
 */

const HEAD = `--
local P, call = ARGV[1], redis.call
local t = call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local function open() call('HDEL', P .. 'lead', '') end`;

/**
 * ARGV: prefix, server, what it says of itself or nothing when it leaves, how long that holds in ms. Answers the time, the
 * server that leads or nothing, its address, its epoch, then what each server says of itself.
 */
export const BEAT_TEXT = `--
${HEAD}
open()
if ARGV[3] == '' then call('HDEL', P .. 'members', ARGV[2])
else call('HSET', P .. 'members', ARGV[2], text(now + ARGV[4]) .. ' ' .. ARGV[3]) end
local lead = call('HMGET', P .. 'lead', 'until', 'server', 'address', 'epoch')
local out = { text(now), '', '', lead[4] or '0' }
if lead[1] and tonumber(lead[1]) > now then out[2], out[3] = lead[2], lead[3] end
local all = call('HGETALL', P .. 'members')
for i = 1, #all, 2 do
  local till, info = string.match(all[i + 1], '^(%d+) (.*)$')
  if till and tonumber(till) > now then out[#out + 1] = info else call('HDEL', P .. 'members', all[i]) end
end
return out`;

/**
 * Takes the lead if it is free. A lease that is longer than any, after a jump of the clock, is cut. ARGV: prefix, server, address, a new UUID, length of the lease in ms, how much longer to
 * wait. Then the highest epoch that this server has seen, and the connection of the leader if it is gone, otherwise nothing.
 * The leader before can have given out numbers that it had not written yet, so the next one begins
 * far above them. Answers 1, the epoch and the token; or 0, the ms until it is free, the connection of the leader and its run.
 */
export const CAMPAIGN_TEXT = `--
${HEAD}
local lead = call('HMGET', P .. 'lead', 'until', 'server', 'connection', 'run', 'epoch', 'token', 'commit')
local till = tonumber(lead[1] or '0')
if till > now + ARGV[5] then
  till = now + ARGV[5]
  open()
  call('HSET', P .. 'lead', 'until', text(till))
end
local isGone = ARGV[8] ~= '' and lead[3] == ARGV[8]
if till > 0 and lead[2] ~= ARGV[2] and not isGone and till + ARGV[6] >= now then
  return { 0, text(till + ARGV[6] - now), lead[3] or '', lead[4] or '' }
end
local epoch = text(math.max(tonumber(lead[5] or '0'), tonumber(ARGV[7])) + 1)
local token = epoch .. ':' .. ARGV[4]
open()
local next = call('HGET', P .. 'counts', 'next')
if epoch ~= '1' then call('HSET', P .. 'counts', 'next', text((next or 1) + 16777216)) end
call('HSET', P .. 'lead', 'epoch', epoch, 'token', token, 'server', ARGV[2], 'address', ARGV[3], 'until', text(now + ARGV[5]),
  'commit', '0', 'connection', '', 'run', '', 'beforeToken', lead[6] or '', 'beforeCommit', lead[7] or '0')
return { 1, epoch, token }`;

/**
 * ARGV: prefix, token, length of the lease in ms or 0 to resign, connection, run of Redis, the time after which this renewal
 * counts no more or 0. Answers the time, and 1; or 0 if it came too late, -1 if another server leads.
 */
export const RENEW_TEXT = `--
${HEAD}
if call('HGET', P .. 'lead', 'token') ~= ARGV[2] then return { text(now), -1 } end
if tonumber(ARGV[6]) > 0 and now > tonumber(ARGV[6]) then return { text(now), 0 } end
open()
if ARGV[3] == '0' then call('HSET', P .. 'lead', 'until', '0', 'token', '', 'connection', '')
else call('HSET', P .. 'lead', 'until', text(now + ARGV[3]), 'connection', ARGV[4], 'run', ARGV[5]) end
return { text(now), 1 }`;

/** ARGV: prefix. Answers the token and the number of the last commit, of this lead and of the one before. */
export const FATE_TEXT = `--
return redis.call('HMGET', ARGV[1] .. 'lead', 'token', 'commit', 'beforeToken', 'beforeCommit')`;

/** ARGV: prefix, token. Answers the counts, the lanes with their sizes, the settings, the chunks of a staged commit. */
export const OPEN_TEXT = `--
${HEAD}
if call('HGET', P .. 'lead', 'token') ~= ARGV[2] then return redis.error_reply('SD_FENCED another server leads') end
local lanes = call('ZRANGE', P .. 'lanes', 0, -1)
local sized = {}
for _, lane in ipairs(lanes) do
  sized[#sized + 1] = lane
  sized[#sized + 1] = call('ZCARD', P .. 'q:' .. lane)
end
return { call('HMGET', P .. 'counts', '0', '1', '2', '3', '4', '5', '6', 'next', 'outbox', 'kinds'), sized,
  call('HGETALL', P .. 'setting'), call('HMGET', P .. 'stage', 'number', 'commit') }`;
