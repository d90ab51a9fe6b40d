// The terms of blind indexes, as docs/format.md specifies them, written from that page alone. The names are those of
// the specification. Needs nothing but Node 20; slow indexes need a Node with crypto.argon2Sync, from 24.7 on.

import * as crypto from 'node:crypto'
import { LP } from './decode.mjs'

const { createHmac, hkdfSync } = crypto
const slowMark = 'a19456.2.1'

/** Whether stretch() works here. */
export const hasArgon2id = typeof crypto.argon2Sync === 'function'

/**
 * Makes the term of a value under one key version.
 *
 * @param {string} version an index key version, such as "i7"
 * @param {Buffer} secret its 32-byte secret
 * @param {{table: string, column: string, bits: number, slow?: boolean, normalize?: string[]}} index
 * @param {{kind: string, value: *}[]} values as decode() returns them, and the text of JSON
 * @param {Buffer} [stretched] for a slow index, what Argon2id makes of the value, where it is known
 * @returns {string}
 */
export function term(version, secret, index, values, stretched) {
  const { key, salt } = derive(secret, index)
  let message = encoding(values, index.normalize ?? [])
  if (index.slow) message = stretched ?? stretch(message, salt)
  const hash = truncate(createHmac('sha256', key).update(message).digest(), index.bits)
  return `${version}:${index.slow ? slowMark + ':' : ''}${hash.toString('base64url')}`
}

/** What Argon2id makes of a value for a slow index. */
export function stretched(secret, index, values) {
  return stretch(encoding(values, index.normalize ?? []), derive(secret, index).salt)
}

/** Reads a term: {version, slow}, or {error}, which is not_term or unsupported. */
export function parseTerm(text) {
  const parts = /^(i[1-9][0-9]{0,9}):(?:(a[0-9.]+):)?([A-Za-z0-9_-]{2,22})$/.exec(text)
  if (!parts || text.endsWith('\n') || Number(parts[1].slice(1)) > 4294967295) return { error: 'not_term' }
  const [, version, mark, base64url] = parts
  if (mark !== undefined && mark !== slowMark) {
    const numbers = mark.slice(1).split('.')
    const right = numbers.length === 3 && numbers.every((n) => /^[1-9][0-9]{0,9}$/.test(n) && Number(n) <= 4294967295)
    return { error: right ? 'unsupported' : 'not_term' }
  }
  const hash = Buffer.from(base64url, 'base64url')
  // Only the one right spelling comes back the same.
  if (hash.length > 16 || hash.toString('base64url') !== base64url) return { error: 'not_term' }
  return { version, slow: mark !== undefined }
}

/** The key and the salt of an index under the secret of one key version. */
function derive(secret, { table, column, slow }) {
  const info = Buffer.concat([LP('gormcrypt/1 index'), LP([slow ? 2 : 1]), LP(table), LP(column)])
  const derived = Buffer.from(hkdfSync('sha256', secret, '', info, 48))
  return { key: derived.subarray(0, 32), salt: derived.subarray(32) }
}

function stretch(message, nonce) {
  return crypto.argon2Sync('argon2id', { message, nonce, memory: 19456, passes: 2, parallelism: 1, tagLength: 32 })
}

/** The first bits of a hash, in whole bytes. */
function truncate(hash, bits) {
  const first = Buffer.from(hash.subarray(0, Math.ceil(bits / 8)))
  if (bits % 8 !== 0) first[first.length - 1] &= 0xff << (8 - (bits % 8))
  return first
}

function encoding(values, normalize) {
  const count = Buffer.alloc(4)
  count.writeUInt32BE(values.length)
  return Buffer.concat([count, ...values.map((value) => LP(plaintext(value, normalize)))])
}

/** The plaintext of a value where equality counts. */
function plaintext({ kind, value }, normalize) {
  const eight = Buffer.alloc(8)
  const number = { string: 1, bytes: 2, int: 3, uint: 4, float: 5, bool: 6, time: 7, json: 8 }[kind]
  const parts = {
    string: () => Buffer.from(normalize.reduce((text, name) => functions[name](text), value)),
    bytes: () => value,
    int: () => (eight.writeBigInt64BE(value), eight),
    uint: () => (eight.writeBigUInt64BE(value), eight),
    float: () => {
      eight.writeDoubleBE(value === 0 ? 0 : value)
      return Number.isNaN(value) ? Buffer.from('7ff8000000000000', 'hex') : eight
    },
    bool: () => Buffer.from([value ? 1 : 0]),
    time: () => {
      const rest = Buffer.alloc(8) // the offset is zero
      eight.writeBigInt64BE(value.seconds)
      rest.writeUInt32BE(value.nanoseconds)
      return Buffer.concat([eight, rest])
    },
    json: () => Buffer.from(value),
  }
  return Buffer.concat([Buffer.from([number]), parts[kind]()])
}

const lower = (text) => Array.from(text.normalize('NFC'), lowerOne).join('').normalize('NFC')
const trim = (text) => text.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, '')

/** The simple mapping of one code point. JavaScript has the full one, which differs for one letter by itself. */
const lowerOne = (character) => (character === '\u0130' ? 'i' : character.toLowerCase())

/** The functions that normalize a text. */
const functions = {
  lower,
  trim,
  digits: (text) => Array.from(text.match(/\p{Nd}/gu) ?? [], digit).join(''),
  email: (text) => lower(trim(text)),
  last4: (text) => Array.from(text).slice(-4).join(''),
  domain: (text) => (text.includes('@') ? lower(trim(text.slice(text.lastIndexOf('@') + 1))) : ''),
}

/** The value of a decimal digit: Unicode has them in runs of ten, so it is the place in the run modulo ten. */
function digit(character) {
  let start = character.codePointAt(0)
  while (/\p{Nd}/u.test(String.fromCodePoint(start - 1))) start--
  return String((character.codePointAt(0) - start) % 10)
}
