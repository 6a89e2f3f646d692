// The forms in which a 32-byte secret could lie around: as bytes, as numbers in memory, and as text.

/** Name of the form -> bytes to look for. */
export function secretForms(name: string, secret: Uint8Array): ReadonlyMap<string, Buffer> {
  const raw = Buffer.from(secret)
  // OpenSSL keeps big numbers as machine words, the lowest first.
  const words = Buffer.from(secret).reverse()
  const hex = raw.toString('hex')
  // Inside a longer base64 text (DER, PEM) the same bytes begin at one of three places; the characters at the seams differ.
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), raw])
      .toString('base64')
      .slice(shift === 0 ? 0 : 4, 40),
  )
  return new Map([
    [`${name}, raw or in DER`, raw],
    [`${name}, as words`, words],
    [`${name}, hex`, Buffer.from(hex)],
    [`${name}, upper-case hex`, Buffer.from(hex.toUpperCase())],
    ...base64.map((text, shift): [string, Buffer] => [`${name}, base64 at ${shift}`, Buffer.from(text)]),
  ])
}
