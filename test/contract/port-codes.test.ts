// The domain reads errors of ports by their codes alone. Every code it reads must be one that an adapter can throw.
import { expect } from 'chai'
import { PORT_FAULTS } from '../../src/domain/port-faults.ts'
import { KEY_HOLDER_ERROR_CODES } from '../../src/key-holder-protocol/errors.ts'
import { NET_ERROR_CODES } from '../../src/net/errors.ts'
import { NOTARY_ERROR_CODES } from '../../src/notary/errors.ts'
import { REGISTRY_ERROR_CODES } from '../../src/registry/errors.ts'

describe('the codes of port faults', () => {
  const known = new Set<string>([
    ...KEY_HOLDER_ERROR_CODES,
    ...NET_ERROR_CODES,
    ...NOTARY_ERROR_CODES,
    ...REGISTRY_ERROR_CODES,
  ])

  for (const [kind, codes] of Object.entries(PORT_FAULTS)) {
    it(`${kind}: all are codes of an adapter`, () => {
      expect(codes.filter((code) => !known.has(code))).to.deep.equal([])
    })
  }

  it('a lost answer is neither a conflict nor a refusal: the server is asked', () => {
    const decided: readonly string[] = [...PORT_FAULTS.conflict, ...PORT_FAULTS.publishRefusal]
    expect(decided).to.not.include('NOTARY_ANSWER_LOST')
    expect(decided).to.not.include('NOTARY_UNAVAILABLE')
  })
})
