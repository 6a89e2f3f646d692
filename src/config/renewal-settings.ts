// The settings of what is signed again before it expires. Pure.
import * as z from 'zod'
import { USUAL_WINDOW_MS, type RenewalSettings } from '../domain/renewal.ts'
import { duration } from './units.ts'

/** A month: a thousand repositories that were made at once are renewed one or two an hour. */
const SPREAD_MS = 30 * 86_400_000

export const renewalSettings = z
  .strictObject({
    before: duration('0s', '900d').default(USUAL_WINDOW_MS).meta({
      description:
        'Roles that are signed here and expire within this time are signed again, unchanged; at most half of their life. 0s: only when asked.',
    }),
    targetsBefore: duration('0s', '900d').optional().meta({
      description: 'The same for base targets alone. Default: as before.',
    }),
    delegationsBefore: duration('0s', '900d').optional().meta({
      description: 'The same for delegations (targets/NAME) alone. Default: as before.',
    }),
    spread: duration('0s', '180d').default(SPREAD_MS).meta({
      description: 'Repositories are taken up over this time, each at a moment of its own; at most half of the window.',
    }),
  })
  .prefault({})
  .meta({ description: 'Keeping repositories from expiring.' })

/** As the services take it. */
export function renewalOf(o: z.output<typeof renewalSettings>): RenewalSettings {
  const { before, targetsBefore = before, delegationsBefore = before, spread } = o
  return { targetsMs: targetsBefore, delegationsMs: delegationsBefore, spreadMs: spread }
}
