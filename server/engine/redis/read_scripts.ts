/**
 * The scripts that read. Each first compares the token, so a server that leads no more reads nothing. Rows are answered as
 * `ord`, the row as it was inserted, and its state since, or an empty text; see `row_text.ts`.
 */

/** ARGV: prefix, token. Defines `P`, `call`, `push`, which adds a row to `out`, and `sizeOf` in characters. */
const HEAD = `--
local P, call, out = ARGV[1], redis.call, {}
if call('HGET', P .. 'lead', 'token') ~= ARGV[2] then return redis.error_reply('SD_FENCED another server leads') end
local function push(ord, row, state)
  out[#out + 1] = ord
  out[#out + 1] = row
  out[#out + 1] = state or ''
end
local function sizeOf(row, state)
  return string.match(row, '^[^\\n]*\\n%d %S+ %S+ (%d+)') + string.match(state or row, '^%d %S+ %S+ (%d+)')
end`;

/** ARGV: …, index, `score` or `lex`, low, high, limit, most characters: rows in the order of the index. */
export const PAGE_TEXT = `--
${HEAD}
local index, kind, low, high, limit, most = ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
local found = call('ZRANGE', P .. index, low, high, kind == 'lex' and 'BYLEX' or 'BYSCORE', 'LIMIT', 0, limit)
local chars = 0
for _, ord in ipairs(found) do
  if kind == 'lex' then ord = string.match(ord, '^0*(%d+)$', 17) end
  local row, state = call('HGET', P .. 'task', ord), call('HGET', P .. 'state', ord)
  if row then
    chars = chars + sizeOf(row, state)
    if chars > most and #out > 0 then break end
    push(ord, row, state)
  end
end
return out`;

/** ARGV: …, then for each task the ord that its id ends with, or 0, and its id in JSON. An absent task has an empty ord. */
export const FIND_TEXT = `--
${HEAD}
for i = 3, #ARGV, 2 do
  local ord, id = ARGV[i], ARGV[i + 1]
  local row = ord ~= '0' and call('HGET', P .. 'task', ord)
  if not row or string.match(row, '^[^\\n]*\\n%d %S+ %S+ %S+ ([^\\n]*)') ~= id then
    ord = call('HGET', P .. 'given', id)
    row = ord and call('HGET', P .. 'task', ord)
  end
  if ord and not row then return redis.error_reply('SD_DAMAGED the record of task ' .. id .. ' is gone') end
  if row then push(ord, row, call('HGET', P .. 'state', ord)) else push('', '', '') end
end
return out`;

/**
 * ARGV: …, ord, `up` or `down`, limit, most characters, statuses as digits, op in JSON or nothing, key in JSON or nothing.
 * Then the earliest creation, most rows to look at, and 1 if an index has these statuses. Answers the next ord or nothing,
 * then rows.
 */
export const LIST_TEXT = `--
${HEAD}
local from, up, limit, most = ARGV[3], ARGV[4] == 'up', tonumber(ARGV[5]), tonumber(ARGV[6])
local statuses, op, key, since, looks = ARGV[7], ARGV[8], ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11])
local chars, seen, last, copied = 0, 0, false, 0
local function text(number) return string.format('%.0f', number) end
local function look(ord)
  local row = call('HGET', P .. 'task', ord)
  if not row then return end
  if #out >= limit * 3 or seen >= looks or copied > 8388608 then return last end
  seen = seen + 1
  local state = call('HGET', P .. 'state', ord)
  copied = copied + #row + (state and #state or 0)
  local fits = statuses == '' or string.find(statuses, string.sub(state or row, 1, 1), 1, true)
  if fits and (op ~= '' or key ~= '' or since > 0) then
    local created, itsKey, itsOp = string.match(row, '^[^\\n]*\\n%d (%S+) [^\\n]*\\n[^\\t]*\\t([^\\t]*)\\t([^\\n]*)')
    fits = (op == '' or itsOp == op) and (key == '' or itsKey == key) and tonumber(created) >= since
  end
  if fits then
    local size = sizeOf(row, state)
    if chars + size > most and #out > 0 then return last end
    chars = chars + size
    push(ord, row, state)
  end
  last = ord
end
local function range(index, low, high, count)
  if up then return call('ZRANGE', P .. index, low, high, 'BYSCORE', 'LIMIT', 0, count) end
  return call('ZRANGE', P .. index, high, low, 'BYSCORE', 'REV', 'LIMIT', 0, count)
end
if ARGV[12] == '1' then
  local ords = {}
  for status in string.gmatch(statuses, '%d') do
    local found = up and range('s:' .. status, '(' .. from, '+inf', looks + 1) or range('s:' .. status, '-inf', '(' .. from, looks + 1)
    for _, ord in ipairs(found) do ords[#ords + 1] = ord end
  end
  table.sort(ords, function(a, b)
    if up then return tonumber(a) < tonumber(b) end
    return tonumber(a) > tonumber(b)
  end)
  for _, ord in ipairs(ords) do
    local next = look(ord)
    if next then return { next, unpack(out) } end
  end
  return { '', unpack(out) }
end
local first = tonumber(from)
local slice = text(math.floor(first / 1024))
local slices = up and range('slicez', slice, '+inf', 9) or range('slicez', '-inf', slice, 9)
for i, number in ipairs(slices) do
  local base = number * 1024
  if i == 9 then return { text(up and base - 1 or base + 1024), unpack(out) } end
  for step = 0, 1023 do
    local ord = base + (up and step or 1023 - step)
    if (up and ord > first) or (not up and ord < first) then
      local next = look(text(ord))
      if next then return { next, unpack(out) } end
    end
  end
end
return { '', unpack(out) }`;

/** ARGV: …, priority, seq, limit: the number of queued tasks before this place. */
export const AHEAD_TEXT = `--
${HEAD}
local priority, seq, limit, count = ARGV[3], ARGV[4], tonumber(ARGV[5]), 0
for _, lane in ipairs(call('ZRANGE', P .. 'lanes', '(' .. priority, '+inf', 'BYSCORE')) do
  count = count + call('ZCARD', P .. 'q:' .. lane)
  if count >= limit then return limit end
end
for _, lane in ipairs(call('ZRANGE', P .. 'lanes', priority, priority, 'BYSCORE')) do
  count = count + call('ZCOUNT', P .. 'q:' .. lane, '-inf', '(' .. seq)
  if count >= limit then return limit end
end
return count`;

/** ARGV: …, number, limit, most characters: rows of the outbox after it. */
export const OUTBOX_TEXT = `--
${HEAD}
local chars = 0
for _, row in ipairs(call('ZRANGE', P .. 'outbox', '(' .. ARGV[3], '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[4])) do
  chars = chars + #row
  if chars > tonumber(ARGV[5]) and #out > 0 then break end
  out[#out + 1] = row
end
return out`;
