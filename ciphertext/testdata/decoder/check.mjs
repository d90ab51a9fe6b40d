// Checks the decoder and the terms with the vectors: node check.mjs [vectors.json]

import { readFileSync } from 'node:fs'
import process from 'node:process'
import { checkValue, decode } from './decode.mjs'
import { hasArgon2id, parseTerm, stretched, term } from './terms.mjs'

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

/** A value of a term's vector, as decode() returns values. */
function read({ kind, value = '' }) {
  switch (kind) {
    case 'bytes':
      return { kind, value: unhex(value) }
    case 'int':
    case 'uint':
      return { kind, value: BigInt(value) }
    case 'float':
      return { kind, value: unhex(value).readDoubleBE() }
    case 'bool':
      return { kind, value: value === 'true' }
    case 'time': { // in UTC
      const [, whole, fraction = ''] = /^(.*?)(?:\.([0-9]+))?Z$/.exec(value)
      return { kind, value: { seconds: BigInt(Date.parse(whole + 'Z') / 1000), nanoseconds: Number(fraction.padEnd(9, '0')) } }
    }
    default:
      return { kind, value }
  }
}

let passed = 0
let failed = 0
function check(name, got, want) {
  if (got === want) {
    passed++
  } else {
    failed++
    console.log(`FAIL ${name}: got ${got}, want ${want}`)
  }
}

for (const [version, want] of Object.entries(vectors.check_values)) {
  check(`check value of ${version}`, checkValue(keys[version]), want)
}
for (const vector of [...vectors.good, ...vectors.bad]) {
  const want = vector.error === undefined ? `${vector.kind} ${vector.value ?? ''}` : `error ${vector.error}`
  check(vector.name, outcome(vector), want)
}
for (const vector of vectors.terms) {
  const values = vector.values.map(read)
  vector.terms.forEach((want, i) => {
    const version = want.slice(0, want.indexOf(':'))
    const known = vector.stretched && unhex(vector.stretched[i])
    check(`term: ${vector.name}`, term(version, keys[version], vector, values, known), want)
    check(`parsed term: ${vector.name}`, JSON.stringify(parseTerm(want)), JSON.stringify({ version, slow: vector.slow === true }))
    if (vector.slow && hasArgon2id) {
      check(`Argon2id: ${vector.name}`, stretched(keys[version], vector, values).toString('hex'), vector.stretched[i])
    }
  })
}
for (const [text, want] of Object.entries(vectors.bad_terms)) {
  check(`bad term ${JSON.stringify(text)}`, parseTerm(text).error, want)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
