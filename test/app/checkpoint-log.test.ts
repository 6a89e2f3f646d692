import { expect } from 'chai'
import { CheckpointLog } from '../../src/app/checkpoint-log.ts'
import type { KeyHolderStatus } from '../../src/domain/ports.ts'
import { createLog } from '../../src/log.ts'

describe('checkpoints on the log stream', () => {
  it('are told once each, whole, and nothing is told of a key holder that is away', async () => {
    const lines: string[] = []
    let size = 7
    let isAway = false
    const status = (): Promise<KeyHolderStatus> => {
      if (isAway) return Promise.reject(new Error('away'))
      const log = {
        origin: 'test/audit',
        size,
        rootHash: 'aGFzaA==',
        publicKey: 'k',
        checkpoint: `test/audit\n${size}\n`,
      }
      return Promise.resolve({ log } as KeyHolderStatus)
    }
    const checkpoints = new CheckpointLog({ status }, createLog('info', { write: (line) => lines.push(line) }))
    await checkpoints.look()
    await checkpoints.look()
    isAway = true
    await checkpoints.look()
    isAway = false
    size = 9
    await checkpoints.look()
    const told = lines.map((line) => JSON.parse(line) as { size: number; checkpoint: string })
    expect(told.map((each) => [each.size, each.checkpoint])).to.deep.equal([
      [7, 'test/audit\n7\n'],
      [9, 'test/audit\n9\n'],
    ])
  })
})
