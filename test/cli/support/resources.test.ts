// The resources that these tests use are such as the API sends: a change of its shapes shows here.
import { expect } from 'chai'
import { signingRequestShape } from '../../../src/http/signing-request-view.ts'
import { image, published, request } from './resources.ts'

describe('cli test resources', () => {
  for (const [name, resource] of Object.entries({
    'a published request': request('published', [published()]),
    'a submitted request': request('submitted'),
    'a failed request': request('failed', [image('failed', { error: { code: 'DIGEST_MISMATCH', detail: 'x' } })]),
  })) {
    it(`has ${name} of the API's shape`, () => {
      expect(signingRequestShape.safeParse(resource).error?.issues).to.equal(undefined)
    })
  }
})
