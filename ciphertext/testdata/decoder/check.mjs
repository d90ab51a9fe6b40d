// Checks the decoder with the vectors: node check.mjs [vectors.json]

import { readFileSync } from 'node:fs'
import process from 'node:process'
import { checkValue, decode } from './decode.mjs'

const path = process.argv[2] ?? new URL('../vectors.json', import.meta.url)
const vectors = JSON.parse(readFileSync(path, 'utf8'))
const unhex = (hex) => Buffer.from(hex, 'hex')
const keys = Object.fromEntries(Object.entries(vectors.keys).map(([version, hex]) => [version, unhex(hex)]))

/** A decoded value as the vectors write it. */
function write({ kind, value }) {
  switch (kind) {
    case 'bytes':
      return value.toString('hex')
    case 'float': {
      const bits = Buffer.alloc(8)
      bits.writeDoubleBE(value)
      return bits.toString('hex')
    }
    case 'time':
      return rfc3339(value)
    default: // a string that is not UTF-8 is a Buffer; JSON holds U+FFFD for what is not
      return value.toString()
  }
}

/** RFC 3339 in the time's own offset, without the fraction's trailing zeros. Its offsets have whole minutes. */
function rfc3339({ seconds, nanoseconds, offset }) {
  const local = new Date((Number(seconds) + offset) * 1000).toISOString().slice(0, 19)
  const fraction = nanoseconds ? '.' + String(nanoseconds).padStart(9, '0').replace(/0+$/, '') : ''
  if (offset === 0) return local + fraction + 'Z'
  const minutes = Math.floor(Math.abs(offset) / 60)
  const two = (n) => String(n).padStart(2, '0')
  return `${local}${fraction}${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`
}

/** What decoding a vector comes to, in one line: its kind and value, or its class of error. */
function outcome({ stored, stored_hex, table, column, bound = [] }) {
  const place = {
    table,
    column,
    bound: bound.map(({ kind, value = '' }) => ({ kind, value: kind === 'bytes' ? unhex(value) : value })),
  }
  try {
    const got = decode(stored_hex === undefined ? stored ?? '' : unhex(stored_hex), place, keys)
    return `${got.kind} ${write(got)}`
  } catch (err) {
    return `error ${err.class ?? err.stack}`
  }
}

let passed = 0
let failed = 0
for (const [version, want] of Object.entries(vectors.check_values)) {
  const got = checkValue(keys[version])
  if (got === want) {
    passed++
  } else {
    failed++
    console.log(`FAIL check value of ${version}: got ${got}, want ${want}`)
  }
}
for (const vector of [...vectors.good, ...vectors.bad]) {
  const want = vector.error === undefined ? `${vector.kind} ${vector.value ?? ''}` : `error ${vector.error}`
  const got = outcome(vector)
  if (got === want) {
    passed++
  } else {
    failed++
    console.log(`FAIL ${vector.name}: got ${got}, want ${want}`)
  }
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
