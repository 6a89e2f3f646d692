import { parseGun } from '@countersign/tuf'
import { expect } from 'chai'
import { parsePattern } from '../../src/domain/pattern.ts'
import {
  type GrantKind,
  GRANT_KINDS,
  isGranted,
  isGrantedAnywhere,
  mayHandOut,
  type Principal,
  requireGrant,
} from '../../src/domain/principal.ts'
import { expectCode } from '../support/expect-code.ts'

const app = parseGun('registry.example.com/team/app')

function principal(...grants: [GrantKind, string][]): Principal {
  return {
    id: 'token-1',
    name: 'bot',
    grants: grants.map(([grant, pattern]) => ({ grant, repositories: [parsePattern(pattern)] })),
  }
}

describe('isGranted', () => {
  it('denies everything to nobody', () => {
    for (const kind of GRANT_KINDS) expect(isGranted(principal(), kind, app)).to.equal(false)
  })

  it('follows the table of implications', () => {
    const implied = GRANT_KINDS.map((held) =>
      GRANT_KINDS.filter((asked) => isGranted(principal([held, '*']), asked, app)).join(','),
    )
    expect(implied).to.deep.equal(['admin', 'operator,read', 'submit,read', 'read'])
  })

  it('does not reach beyond its patterns', () => {
    const bot = principal(['submit', 'registry.example.com/other/*'], ['read', 'registry.example.com/*'])
    expect(isGranted(bot, 'submit', app)).to.equal(false)
    expect(isGranted(bot, 'read', app)).to.equal(true)
    expectCode('NOT_PERMITTED', () => {
      requireGrant(bot, 'submit', app)
    })
  })
})

describe('mayHandOut', () => {
  const admin = principal(['admin', 'registry.example.com/team/*'], ['operator', '*'])
  const grants = (kind: GrantKind, pattern: string): Principal['grants'] => principal([kind, pattern]).grants

  it('allows grants within the own admin patterns', () => {
    expect(mayHandOut(admin, grants('submit', 'registry.example.com/team/app'))).to.equal(true)
    expect(mayHandOut(admin, grants('admin', 'registry.example.com/team/*'))).to.equal(true)
  })

  it('refuses grants beyond them, whatever else is held', () => {
    expect(mayHandOut(admin, grants('read', '*'))).to.equal(false)
    expect(mayHandOut(admin, grants('operator', 'registry.example.com/*'))).to.equal(false)
    expect(mayHandOut(admin, [...grants('read', 'registry.example.com/team/a'), ...grants('read', '*')])).to.equal(
      false,
    )
  })

  it('refuses everything to those without the grant admin', () => {
    expect(mayHandOut(principal(['operator', '*']), grants('read', '*'))).to.equal(false)
    expect(mayHandOut(principal(['operator', '*']), [])).to.equal(false)
    expect(isGrantedAnywhere(principal(['operator', '*']), 'admin')).to.equal(false)
  })
})
