import { expect } from 'chai'
import { TUF_ERROR_CODES } from '@countersign/tuf'
import { DOMAIN_ERROR_CODES } from '../../src/domain/errors.ts'
import { HTTP_ERROR_CODES } from '../../src/http/errors.ts'
import { PROBLEM_LAYERS, problemOf, PROBLEMS } from '../../src/http/problem.ts'
import { KEY_HOLDER_ERROR_CODES } from '../../src/key-holder-protocol/errors.ts'
import { NET_ERROR_CODES } from '../../src/net/errors.ts'
import { NOTARY_ERROR_CODES } from '../../src/notary/errors.ts'
import { REGISTRY_ERROR_CODES } from '../../src/registry/errors.ts'
import { STORE_ERROR_CODES } from '../../src/store/errors.ts'

const context = { instance: '/v1/x', requestId: 'req_1' }

describe('the table of problems', () => {
  it('has a row for every code, and each code in one layer', () => {
    const codes = [
      ...HTTP_ERROR_CODES,
      ...DOMAIN_ERROR_CODES,
      ...KEY_HOLDER_ERROR_CODES,
      ...NOTARY_ERROR_CODES,
      ...REGISTRY_ERROR_CODES,
      ...NET_ERROR_CODES,
      ...STORE_ERROR_CODES,
      ...TUF_ERROR_CODES,
    ]
    expect(Object.keys(PROBLEMS)).to.include.members(codes)
    expect(new Set(codes).size).to.equal(codes.length)
    const listed = Object.values(PROBLEM_LAYERS).flatMap((rows) => Object.keys(rows))
    expect(listed).to.have.members(Object.keys(PROBLEMS))
  })

  for (const [code, { status, title, next }] of Object.entries(PROBLEMS)) {
    it(`${code} has a status and sentences`, () => {
      expect(code).to.match(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/)
      expect(status).to.be.within(400, 504)
      expect(title).to.match(/^[A-Z].*[^.]$/)
      expect(next).to.match(/^[A-Z].*\.$/)
    })
  }

  it('answers whatever was thrown', () => {
    for (const thrown of [
      undefined,
      null,
      'text',
      7,
      new Error('x'),
      Object.assign(new Error('x'), { code: 'NOT_PERMITTED' }),
    ]) {
      expect(problemOf(thrown, context).document).to.deep.include({
        status: 500,
        code: 'INTERNAL',
        detail: 'Something failed inside',
      })
    }
  })
})
