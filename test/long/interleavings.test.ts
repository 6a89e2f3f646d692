// As in test/trust-server/publications.test.ts, a thousand times.
import { Scope } from '../support/scope.ts'
import { interleave } from '../support/trust-server/interleavings.ts'

describe('publications by two writers', () => {
  const scope = new Scope()
  after(() => scope.close())

  it('leave a chain that clients verify at every version, after a thousand interleavings', async () => {
    await interleave(scope, 1000)
  }).timeout(600_000)
})
