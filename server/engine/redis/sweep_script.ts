/**
 * The script that drops records of final tasks: the old ones of a slice of 1024 numbers, or the records whose own time has
 * come. Its first write is one that Redis allows without room, since it makes room.
 *
 * ARGV: prefix, token, now, how long a record without a time of its own is kept, how many records are too many. Then the
 * most rows to look at, source, its place, and ords that must stay. The source is `slice`
 * with the ord to go on behind, or `due` with the member to go on behind.
 *
 * Answers: where to go on from, or nothing; when the next record of the slice may be dropped; then the number of dropped
 * records of each status.
 */
export const SWEEP_TEXT = `--
local P, call = ARGV[1], redis.call
if call('HGET', P .. 'lead', 'token') ~= ARGV[2] then return redis.error_reply('SD_FENCED another server leads') end
local now, keep, excess, rows = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local source, place = ARGV[7], ARGV[8]
local kinds = call('HGET', P .. 'counts', 'kinds') or 0
local held = {}
for i = 9, #ARGV do held[ARGV[i]] = true end
local function pad(ord) return string.rep('0', 16 - #ord) .. ord end
local function text(number) return string.format('%.0f', number) end
local gone, given, due, rare, slices, counts = {}, {}, {}, {}, {}, {}
local soonest, copied = now + keep, 0
local function look(ord)
  local row = call('HGET', P .. 'task', ord)
  if not row then return end
  local state = call('HGET', P .. 'state', ord) or row
  copied = copied + #row + #state
  local status, finished, drop = string.match(state, '^(%d) (%S+) (%S+)')
  if not status or status < '3' then return end
  if held[ord] then soonest = now return end
  local at = drop == '-' and finished + keep or tonumber(drop)
  if at > now and #gone >= excess then
    if drop == '-' then soonest = math.min(soonest, at) end
    return
  end
  gone[#gone + 1] = ord
  local isGiven, id = string.match(row, '^[^\\n]*\\n(%d) %S+ %S+ %S+ ([^\\n]*)')
  if isGiven == '1' then given[#given + 1] = id end
  if drop ~= '-' then due[#due + 1] = pad(drop) .. pad(ord) end
  if status ~= '3' then
    rare[status] = rare[status] or {}
    table.insert(rare[status], ord)
  end
  counts[status] = (counts[status] or 0) + 1
  local slice = text(math.floor(ord / 1024))
  slices[slice] = (slices[slice] or 0) + 1
end
local next = ''
if source == 'due' then
  local found = call('ZRANGE', P .. 'drop', place == '' and '-' or '(' .. place, '(' .. pad(text(now + 1)), 'BYLEX', 'LIMIT', 0, rows)
  for i, member in ipairs(found) do
    look(string.match(member, '^0*(%d+)$', 17))
    if i == rows or copied > 8388608 then next = member break end
  end
else
  local first = place + 1
  local last = (math.floor(first / 1024) + 1) * 1024 - 1
  for ord = first, last do
    look(text(ord))
    if ord < last and (copied > 8388608 or (excess > 0 and #gone >= excess)) then next = text(ord) break end
  end
end
local function send(command, key, list)
  for from = 1, #list, 1000 do
    call(command, P .. key, unpack(list, from, math.min(from + 999, #list)))
  end
end
send('HDEL', 'task', gone)
send('HDEL', 'state', gone)
for kind = 0, kinds - 1 do send('HDEL', 'att:' .. kind, gone) end
send('HDEL', 'given', given)
send('ZREM', 'drop', due)
for status, list in pairs(rare) do send('ZREM', 's:' .. status, list) end
for slice, count in pairs(slices) do
  if call('HINCRBY', P .. 'slices', slice, -count) <= 0 then
    call('HDEL', P .. 'slices', slice)
    call('ZREM', P .. 'slicez', slice)
  end
end
local out = { next, text(soonest) }
for status = 0, 6 do
  local count = counts[tostring(status)] or 0
  if count > 0 then call('HINCRBY', P .. 'counts', status, -count) end
  out[#out + 1] = count
end
return out`;
