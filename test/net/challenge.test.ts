import { expect } from 'chai'
import { parseChallenge } from '../../src/net/challenge.ts'
import { expectCode } from '../support/expect-code.ts'

describe('parseChallenge', () => {
  it('reads what Notary and the registry send', () => {
    const challenge = parseChallenge(
      'Bearer realm="https://auth.example.test/token",service="notary, test",scope="repository:a/b:pull"',
    )
    expect(challenge).to.deep.equal({
      scheme: 'bearer',
      realm: new URL('https://auth.example.test/token'),
      service: 'notary, test',
    })
    expect(parseChallenge('Basic realm="Registry"')).to.deep.equal({ scheme: 'basic' })
    expect(parseChallenge('bearer realm=https://auth.example.test/token')).to.include({ scheme: 'bearer' })
  })

  const refused: readonly (readonly [string, string, string])[] = [
    ['nothing', '', 'CHALLENGE_MALFORMED'],
    ['a bearer challenge without a realm', 'Bearer service="x"', 'CHALLENGE_MALFORMED'],
    ['a realm that is no URL', 'Bearer realm="token"', 'CHALLENGE_MALFORMED'],
    ['a realm with a password', 'Bearer realm="https://u:p@auth.example.test/"', 'CHALLENGE_MALFORMED'],
    ['a realm that stands twice', 'Bearer realm="https://a.test/",realm="https://b.test/"', 'CHALLENGE_MALFORMED'],
    ['a quote that does not end', 'Bearer realm="https://a.test/', 'CHALLENGE_MALFORMED'],
    ['a second challenge in the same header', 'Bearer realm="https://a.test/", Basic realm="x"', 'CHALLENGE_MALFORMED'],
    ['an endless header', `Bearer realm="https://a.test/${'a'.repeat(5000)}"`, 'CHALLENGE_MALFORMED'],
    ['another scheme', 'Negotiate abc', 'CHALLENGE_UNSUPPORTED'],
  ]
  for (const [name, header, code] of refused) {
    it(`refuses ${name}`, () => {
      expectCode(code, () => parseChallenge(header))
    })
  }

  it('refuses a realm in Latin-1 however often it is asked', () => {
    const header = `Bearer realm="${Buffer.from('https:/\u{1f600}').toString('latin1')}"`
    for (let count = 0; count < 20_000; count++) expectCode('CHALLENGE_MALFORMED', () => parseChallenge(header))
  })
})
