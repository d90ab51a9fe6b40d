// A decoder of docs/format.md, version 1, written from that page alone. It reads values and never makes any.
// The names are those of the specification. Needs nothing but Node 20.

import { createCipheriv, createDecipheriv, hkdfSync, timingSafeEqual } from 'node:crypto'

/** An error of one of the classes in docs/format.md. Its message says nothing of the value. */
export class DecodeError extends Error {
  constructor(errorClass, message) {
    super(`${errorClass}: ${message}`)
    this.name = 'DecodeError'
    this.class = errorClass
  }
}

const fail = (errorClass, message) => {
  throw new DecodeError(errorClass, message)
}

// number -> how a value of that algorithm is laid out and opened. Each open() takes the key, the nonce, the
// associated data and the ciphertext with its tag, and returns the plaintext, or null if it is not authentic.
const algorithms = {
  1: { keySize: 32, nonceSize: 24, versions: 'data', open: openXChaCha20Poly1305 },
  2: { keySize: 32, nonceSize: 12, versions: 'data', open: (...args) => openAEAD('aes-256-gcm', ...args) },
  3: { keySize: 64, nonceSize: 0, versions: 'index', open: openAESSIV },
}
const tagSize = 16

/**
 * Opens a stored value.
 *
 * @param {Buffer|string} stored the value of a text or a binary column
 * @param {object} place where it was read
 * @param {string} [place.table] the logical table name; empty, with column, for a value bound to no column
 * @param {string} [place.column] the logical column name
 * @param {{kind: 'string'|'bytes'|'integer', value: *}[]} [place.bound] the values of the row that it is bound to, in
 *   order: a string, a Buffer, or a BigInt, integer or canonical decimal string
 * @param {Object<string, Buffer>} keys the 32-byte secret of each key version; an empty one if the version is retired
 * @returns {{kind: string, value: *}} by kind:
 *   string  string, or a Buffer if the bytes are not UTF-8     bool  boolean
 *   bytes   Buffer                                             time  {seconds: BigInt, nanoseconds, offset}
 *   int     BigInt     uint  BigInt     float  number          json  string, the JSON text as it was stored
 * @throws {DecodeError}
 */
export function decode(stored, { table = '', column = '', bound = [] }, keys) {
  const { version, algorithm, names, rest } = parse(Buffer.from(stored))
  const number = algorithm & 0x7f
  const { keySize, nonceSize, open } = algorithms[number]

  // A value belongs to the column that it names.
  if (names && !(names.table.equals(Buffer.from(table)) && names.column.equals(Buffer.from(column)))) {
    fail('authentication', 'the value names another column')
  }

  const secret = keys[version]
  if (secret === undefined) fail('unknown_version', 'the keyring has no key of that version')
  if (secret.length === 0) fail('retired', 'the key of that version is retired')
  if (secret.length !== 32) throw new TypeError('a secret must have 32 bytes')

  const info = Buffer.concat([LP('gormcrypt/1 key'), LP([number]), LP(table), LP(column)])
  const key = Buffer.from(hkdfSync('sha256', secret, '', info, keySize))
  const ad = Buffer.concat([
    LP('gormcrypt/1'), LP([algorithm]), LP(version), LP(table), LP(column), ...bound.map(boundValue),
  ])
  const plaintext = open(key, rest.subarray(0, nonceSize), ad, rest.subarray(nonceSize))
  if (plaintext === null) fail('authentication', 'the value does not open under its key')
  return parsePlaintext(plaintext)
}

/** The check value of a key version, which stands beside its secret. */
export function checkValue(secret) {
  return Buffer.from(hkdfSync('sha256', secret, '', 'gormcrypt/1 check value', 8)).toString('base64url')
}

/** LP(x): the length of x as 4 bytes, then x. */
export function LP(x) {
  x = Buffer.from(x)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(x.length)
  return Buffer.concat([length, x])
}

function boundValue({ kind, value }) {
  switch (kind) {
    case 'string':
    case 'bytes':
      return LP(Buffer.concat([Buffer.from(kind[0]), Buffer.from(value)]))
    case 'integer':
      return LP(`i${BigInt(value)}`) // BigInt writes 0 as "0" and no leading zeros
    default:
      throw new TypeError('a bound value is a string, bytes or an integer')
  }
}

// Outer form and body: all that can be seen without a key.

/** Takes a value apart into {version, algorithm, names, rest}, where rest = nonce | ciphertext. */
function parse(stored) {
  // One character a byte, so that positions in the text are positions in stored.
  const text = stored.toString('latin1')

  // The prefix. Format version 0, or a number with leading zeros, is no format version.
  const format = /^gc([1-9][0-9]*):/.exec(text)
  if (!format) fail('not_ciphertext', 'the value does not start as ciphertext does')
  if (format[1] !== '1') fail('unsupported', 'another format version')

  // The version.
  const start = format[0].length
  const colon = text.indexOf(':', start)
  if (colon < 0) fail('malformed', 'no colon after the key version')
  const version = text.slice(start, colon)
  if (!/^i?[1-9][0-9]{0,9}$/.test(version) || Number(version.replace('i', '')) > 4294967295) {
    fail('malformed', 'not a key version')
  }

  // The body, in base64url if it starts with a byte from 32 to 126.
  let body = stored.subarray(colon + 1)
  if (body.length === 0) fail('malformed', 'no body')
  if (body[0] >= 32 && body[0] <= 126) {
    const base64url = text.slice(colon + 1)
    body = Buffer.from(base64url, 'base64url')
    // Node skips what it cannot read. Only the one right spelling comes back the same.
    if (body.toString('base64url') !== base64url) fail('malformed', 'not base64url')
  }

  const algorithm = body[0]
  const known = algorithms[algorithm & 0x7f]
  if (!known) fail('unsupported', 'unknown algorithm')
  if (known.versions !== (version[0] === 'i' ? 'index' : 'data')) {
    fail('malformed', 'the algorithm and the kind of key version do not belong together')
  }

  let position = 1
  const name = () => { // u16(len(name)) | name
    const begin = position + 2
    if (begin > body.length) fail('malformed', 'the names are cut off')
    position = begin + body.readUInt16BE(position)
    if (position > body.length) fail('malformed', 'the names are cut off')
    return body.subarray(begin, position)
  }
  let names = null
  if (algorithm & 0x80) {
    names = { table: name(), column: name() }
    if ((names.table.length === 0) !== (names.column.length === 0)) fail('malformed', 'only one name is empty')
  }

  const rest = body.subarray(position)
  if (rest.length <= known.nonceSize + tagSize) fail('malformed', 'no ciphertext')
  return { version, algorithm, names, rest }
}

// Plaintext

/** The value of each kind: its name, its size if it is fixed, and how to read it. */
const kinds = {
  1: { kind: 'string', read: (b) => utf8(b) ?? Buffer.from(b) },
  2: { kind: 'bytes', read: (b) => Buffer.from(b) },
  3: { kind: 'int', size: 8, read: (b) => b.readBigInt64BE() },
  4: { kind: 'uint', size: 8, read: (b) => b.readBigUInt64BE() },
  5: { kind: 'float', size: 8, read: (b) => b.readDoubleBE() },
  6: { kind: 'bool', size: 1, read: readBool },
  7: { kind: 'time', size: 16, read: readTime },
  8: { kind: 'json', read: readJSON },
}

/** Reads plaintext = kind | value | padding. */
function parsePlaintext(plaintext) {
  const known = kinds[plaintext[0] & 0x7f]
  if (!known) fail('malformed', 'unknown kind of value')

  let end = plaintext.length
  if (plaintext[0] & 0x80) { // padding: one byte 128, then any number of zeros
    while (end > 1 && plaintext[end - 1] === 0) end--
    if (end === 1 || plaintext[--end] !== 0x80) fail('malformed', 'wrong padding')
  }
  const value = plaintext.subarray(1, end)
  if (known.size !== undefined && value.length !== known.size) fail('malformed', 'wrong length of the value')
  return { kind: known.kind, value: known.read(value) }
}

function readBool(b) {
  if (b[0] > 1) fail('malformed', 'neither true nor false')
  return b[0] === 1
}

function readTime(b) {
  const nanoseconds = b.readUInt32BE(8)
  if (nanoseconds > 999999999) fail('malformed', 'too many nanoseconds')
  return { seconds: b.readBigInt64BE(0), nanoseconds, offset: b.readInt32BE(12) }
}

function readJSON(b) {
  const text = utf8(b) ?? fail('malformed', 'JSON that is not UTF-8')
  try {
    JSON.parse(text)
  } catch { // its message would quote the value
    fail('malformed', 'not a JSON text')
  }
  return text
}

/** The text of b, or null if b is not UTF-8. A byte order mark stays in the text. */
function utf8(b) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(b)
  } catch {
    return null
  }
}

// Algorithms 1 and 2

/** Opens ciphertext | tag with one of Node's AEAD ciphers, which compare the tag in constant time. */
function openAEAD(cipher, key, nonce, ad, ciphertext) {
  const end = ciphertext.length - tagSize
  const decipher = createDecipheriv(cipher, key, nonce, { authTagLength: tagSize })
  decipher.setAAD(ad)
  decipher.setAuthTag(ciphertext.subarray(end))
  const plaintext = decipher.update(ciphertext.subarray(0, end))
  try {
    decipher.final()
  } catch {
    return null
  }
  return plaintext
}

/** XChaCha20-Poly1305: ChaCha20-Poly1305 under a subkey made from the first 16 bytes of the nonce. */
function openXChaCha20Poly1305(key, nonce, ad, ciphertext) {
  const subkey = hChaCha20(key, nonce.subarray(0, 16))
  const rest = Buffer.concat([Buffer.alloc(4), nonce.subarray(16)])
  return openAEAD('chacha20-poly1305', subkey, rest, ad, ciphertext)
}

/** HChaCha20, section 2.2 of the draft: ChaCha20's rounds, without the final addition; words 0-3 and 12-15. */
function hChaCha20(key, input) {
  const words = Buffer.concat([Buffer.from('expand 32-byte k'), key, input])
  const s = Uint32Array.from({ length: 16 }, (_, i) => words.readUInt32LE(4 * i))
  const rotl = (x, n) => (x << n) | (x >>> (32 - n))
  const quarterRound = (a, b, c, d) => {
    s[a] += s[b]; s[d] = rotl(s[d] ^ s[a], 16)
    s[c] += s[d]; s[b] = rotl(s[b] ^ s[c], 12)
    s[a] += s[b]; s[d] = rotl(s[d] ^ s[a], 8)
    s[c] += s[d]; s[b] = rotl(s[b] ^ s[c], 7)
  }
  for (let i = 0; i < 10; i++) {
    for (let j = 0; j < 4; j++) quarterRound(j, 4 + j, 8 + j, 12 + j) // columns
    for (let j = 0; j < 4; j++) quarterRound(j, 4 + (j + 1) % 4, 8 + (j + 2) % 4, 12 + (j + 3) % 4) // diagonals
  }
  const subkey = Buffer.alloc(32)
  for (let i = 0; i < 8; i++) subkey.writeUInt32LE(s[i < 4 ? i : i + 8], 4 * i)
  return subkey
}

// Algorithm 3

/** AES-SIV, RFC 5297 section 2.7, with ad as the only component of associated data; V stands before the ciphertext. */
function openAESSIV(key, nonce, ad, ciphertext) {
  const K1 = key.subarray(0, 32) // for S2V
  const K2 = key.subarray(32) // for CTR
  const V = ciphertext.subarray(0, 16)
  const Q = Buffer.from(V) // V with two bits cleared
  Q[8] &= 0x7f
  Q[12] &= 0x7f
  const plaintext = createDecipheriv('aes-256-ctr', K2, Q).update(ciphertext.subarray(16))
  return timingSafeEqual(S2V(K1, ad, plaintext), V) ? plaintext : null
}

/** S2V, RFC 5297 section 2.4, of the two strings ad and plaintext. */
function S2V(K, ad, plaintext) {
  const D = xor(dbl(CMAC(K, Buffer.alloc(16))), CMAC(K, ad))
  if (plaintext.length < 16) return CMAC(K, xor(dbl(D), pad(plaintext)))
  const end = plaintext.length - 16 // xorend
  return CMAC(K, Buffer.concat([plaintext.subarray(0, end), xor(plaintext.subarray(end), D)]))
}

/** AES-CMAC, RFC 4493, with a key of 256 bits. */
function CMAC(K, message) {
  const ecb = createCipheriv('aes-256-ecb', K, null).setAutoPadding(false)
  const aes = (block) => ecb.update(block)
  const k1 = dbl(aes(Buffer.alloc(16)))
  const lastStart = Math.max(0, Math.ceil(message.length / 16) - 1) * 16
  let mac = Buffer.alloc(16)
  for (let i = 0; i < lastStart; i += 16) mac = aes(xor(mac, message.subarray(i, i + 16)))
  const last = message.subarray(lastStart)
  return aes(xor(mac, last.length === 16 ? xor(last, k1) : xor(pad(last), dbl(k1))))
}

const xor = (a, b) => Buffer.from(a.map((x, i) => x ^ b[i]))

/** pad(b): a one bit and zeros up to 16 bytes. */
const pad = (b) => Buffer.concat([b, Buffer.from([0x80])], 16)

/** dbl(b): b doubled in GF(2^128), without a branch on its secret bits. */
function dbl(b) {
  const doubled = Buffer.from(b.map((x, i) => (x << 1) | (i < 15 ? b[i + 1] >> 7 : 0)))
  doubled[15] ^= 0x87 & -(b[0] >> 7)
  return doubled
}
