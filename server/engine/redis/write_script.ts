/**
 * The script of a commit. Nothing of it is written before all of it was checked, since Redis does not roll back: the token
 * of the lead, the number of the commit, the statuses of the rows, the types of the keys. The first write of each mode is
 * a command that Redis refuses while it has no room, no working disk, or another master; after it, none is refused.
 *
 * Keys, each behind the prefix:
 * - `task`: ord → the row as it was inserted; `state`: ord → its state since; see `row_text.ts`;
 * - `open`: ord → `status place expiresAt lane` of a task that is not final;
 * - `given`: id → ord; `lanes`: lane by priority; `q:LANE`: ord by seq; `s:STATUS`: ord by ord, for rare statuses;
 * - `due`, `expires`, `drop`: a time and an ord as one text each, in the order of texts;
 * - `slices`: ord / 1024 → number of rows; `slicez`: the same numbers in order;
 * - `counts`, `setting`, `outbox`, `att:KIND`, `stage`, `lead`, `meta`, `members`.
 *
 * ARGV: prefix, token, mode, number of the commit, chunk, then the body: the number of updates, and for each
 * `ord before status place dropAt`; the number of plain commands, and for each `command key n`, and n arguments.
 *
 * Modes: `now` makes a commit of one chunk. A larger one is staged: `stage` checks and keeps a chunk, `commit` makes all
 * chunks count at once, `apply` carries out one of them. `burn` makes sure that a commit without an answer is never made.
 *
 * Answers: 1 made, 2 made before, -1 another server leads.
 */
export const WRITE_TEXT = `--
local P, token, mode, number, chunk = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local call = redis.call
local lead = call('HMGET', P .. 'lead', 'token', 'commit')
if lead[1] ~= token then return -1 end
if mode == 'unstage' then
  if call('HGET', P .. 'stage', 'number') == number then call('DEL', P .. 'stage') end
  return 1
end
local done = lead[2] or '0'
if mode ~= 'apply' and tonumber(done) >= tonumber(number) then
  call('HDEL', P .. 'lead', '')
  call('HSET', P .. 'lead', 'commit', done)
  return 2
end
if mode == 'burn' then
  call('HDEL', P .. 'lead', '')
  call('HSET', P .. 'lead', 'commit', number)
  return 1
end
if mode == 'commit' then
  local stage = call('HMGET', P .. 'stage', 'number', chunk)
  if stage[1] ~= number or not stage[2] or call('HLEN', P .. 'stage') ~= chunk + 1 then
    return redis.error_reply('SD_STAGE the chunks of commit ' .. number .. ' are not all there')
  end
  call('HSET', P .. 'lead', 'commit', number)
  call('HSET', P .. 'stage', 'commit', chunk)
  return 1
end
local A, at = ARGV, 6
if mode == 'apply' then
  local stage = call('HMGET', P .. 'stage', 'number', 'commit', chunk)
  if stage[1] ~= number or not stage[2] or not stage[3] then return 2 end
  A = cmsgpack.unpack(stage[3])
end
local function sound(key, kind)
  local found = call('TYPE', P .. key).ok
  return found == 'none' or found == kind
end
local function unsound(key)
  return redis.error_reply('SD_DAMAGED the key ' .. P .. key .. ' is of another type: it was not written by sd')
end
local updates = tonumber(A[at])
local first = at + 1
local plain = first + updates * 5
local opens = {}
if updates > 0 then
  for _, key in ipairs({ 'task', 'state', 'open' }) do
    if not sound(key, 'hash') then return unsound(key) end
  end
  for _, key in ipairs({ 'lanes', 'due', 'expires', 'drop', 's:1', 's:2', 's:4', 's:5', 's:6' }) do
    if not sound(key, 'zset') then return unsound(key) end
  end
  local ords, known = {}, {}
  for i = 1, updates do ords[i] = A[first + (i - 1) * 5] end
  opens = call('HMGET', P .. 'open', unpack(ords))
  for i = 1, updates do
    local ord, before = ords[i], A[first + (i - 1) * 5 + 1]
    local row = opens[i]
    if before >= '3' then
      if row then row = false else row = call('HGET', P .. 'state', ord) or call('HGET', P .. 'task', ord) end
    end
    if not row or string.sub(row, 1, 1) ~= before then
      return redis.error_reply('SD_DAMAGED the record of task number ' .. ord .. ' is gone, or not in the status that was written')
    end
    if before < '3' then
      local lane = string.match(row, '^0 %d+ %S+ (.*)$')
      if lane and not known[lane] then
        if not sound('q:' .. lane, 'zset') then return unsound('q:' .. lane) end
        known[lane] = true
      end
    end
  end
end
local commands = tonumber(A[plain])
local c = plain + 1
for i = 1, commands do
  if not sound(A[c + 1], string.sub(A[c], 1, 1) == 'H' and 'hash' or 'zset') then return unsound(A[c + 1]) end
  c = c + 3 + A[c + 2]
end
if mode == 'stage' then
  call('HSET', P .. 'lead', 'staging', number)
  if call('HGET', P .. 'stage', 'number') ~= number then call('DEL', P .. 'stage') end
  call('HSET', P .. 'stage', 'number', number, chunk, cmsgpack.pack(A))
  return 1
end
if mode == 'apply' then call('HDEL', P .. 'stage', chunk) else call('HSET', P .. 'lead', 'commit', number) end
local function pad(ord) return string.rep('0', 16 - #ord) .. ord end
local take, put = {}, {}
local function add(map, key, value, member)
  local list = map[key]
  if not list then list = {} map[key] = list end
  list[#list + 1] = value
  if member then list[#list + 1] = member end
end
local function send(command, key, list)
  for from = 1, #list, 1000 do
    call(command, P .. key, unpack(list, from, math.min(from + 999, #list)))
  end
end
local closed, opened = {}, {}
for i = 1, updates do
  local b = first + (i - 1) * 5
  local ord, before, status, place, drop = A[b], A[b + 1], A[b + 2], A[b + 3], A[b + 4]
  local expires, lane, old
  if before < '3' then
    local where
    where, expires, lane = string.match(opens[i], '^%d (%d+) (%S+) (.*)$')
    if before == '0' then add(take, 'q:' .. lane, ord)
    elseif before == '1' then add(take, 'due', pad(where) .. pad(ord)) end
  else
    local row = call('HGET', P .. 'task', ord) or ''
    local state = call('HGET', P .. 'state', ord) or row
    expires, lane = string.match(row, '^[^\\n]*\\n%d %S+ (%S+) [^\\n]*\\n([^\\n]*)')
    old = string.match(state, '^%d %S+ (%S+)')
    if old and old ~= '-' then add(take, 'drop', pad(old) .. pad(ord)) end
    if status < '3' and expires and expires ~= '-' then add(put, 'expires', '0', pad(expires) .. pad(ord)) end
  end
  if before ~= '0' and before ~= '3' then add(take, 's:' .. before, ord) end
  if status < '3' then
    opened[#opened + 1] = ord
    opened[#opened + 1] = status .. ' ' .. place .. ' ' .. expires .. ' ' .. lane
    if status == '0' then
      add(put, 'q:' .. lane, place, ord)
      add(put, 'lanes', string.match(lane, '^%-?%d+'), lane)
    elseif status == '1' then add(put, 'due', '0', pad(place) .. pad(ord)) end
  else
    closed[#closed + 1] = ord
    if before < '3' and expires ~= '-' then add(take, 'expires', pad(expires) .. pad(ord)) end
    if drop ~= '-' then add(put, 'drop', '0', pad(drop) .. pad(ord)) end
  end
  if status ~= '0' and status ~= '3' then add(put, 's:' .. status, ord, ord) end
end
send('HDEL', 'open', closed)
send('HSET', 'open', opened)
for key, list in pairs(take) do
  send('ZREM', key, list)
  if string.sub(key, 1, 2) == 'q:' and call('EXISTS', P .. key) == 0 then call('ZREM', P .. 'lanes', string.sub(key, 3)) end
end
for key, list in pairs(put) do send('ZADD', key, list) end
c = plain + 1
for i = 1, commands do
  local n = tonumber(A[c + 2])
  call(A[c], P .. A[c + 1], unpack(A, c + 3, c + 2 + n))
  c = c + 3 + n
end
return 1`;
