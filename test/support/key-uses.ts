// Counts how often a private key is used.
import { FileCustodian } from '../../src/key-holder/file-custodian.ts'

/** Signatures that key holders of this process make while the work runs. */
export async function countKeyUses(work: () => Promise<unknown>): Promise<number> {
  const sign = Object.getOwnPropertyDescriptor(FileCustodian.prototype, 'sign')!.value as FileCustodian['sign']
  let uses = 0
  FileCustodian.prototype.sign = function (...args) {
    uses++
    return sign.apply(this, args)
  }
  try {
    await work()
  } finally {
    FileCustodian.prototype.sign = sign
  }
  return uses
}
