// What the key holder says of a repository. Here is where the daemon learns of a freeze, whoever froze it.
import { CodedError, type Gun } from '@countersign/tuf'
import type { RepositoryCustody } from '../domain/ports.ts'
import type { ServiceDependencies } from './dependencies.ts'

/** @throws KeyHolderError */
export async function custodyOf(
  { keyHolder, freezes, clock }: Pick<ServiceDependencies, 'keyHolder' | 'freezes' | 'clock'>,
  gun: Gun,
): Promise<RepositoryCustody> {
  const custody = await keyHolder.repositoryStatus(gun)
  try {
    const reason = custody.state === 'frozen' ? (custody.frozenBecause ?? 'no reason is known') : undefined
    freezes?.note(gun, reason, clock.now())
  } catch (error) {
    // The next look tells it; whoever asked now wants to know the custody.
    if (!(error instanceof CodedError)) throw error
  }
  return custody
}
