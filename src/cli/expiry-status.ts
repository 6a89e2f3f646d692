// `repo status --expiry`: what expires when, who signs it again, and what a person has to do by when.
import { EXIT, type ExitStatus } from './errors.ts'
import { expiryForecastSchema, type ExpiryForecastResource } from './resources.ts'
import type { Session } from './session.ts'

/** @param all whether no repository was named: the document is a list then */
export async function showExpiry(session: Session, guns: readonly string[], all: boolean): Promise<ExitStatus> {
  const api = await session.api()
  const forecasts: ExpiryForecastResource[] = []
  for (const gun of guns) {
    const path = `v1/repositories/${encodeURIComponent(gun)}/expiry-forecast`
    forecasts.push(await api.call({ method: 'GET', path, answer: expiryForecastSchema }))
  }
  session.output.document(all ? { forecasts } : forecasts[0])
  for (const forecast of forecasts) printForecast(session, forecast)
  return EXIT.done
}

function printForecast({ output }: Session, { gun, roles, acts, until }: ExpiryForecastResource): void {
  output.line(gun, 'bold')
  output.table(
    ['ROLE', 'EXPIRES', 'SIGNED AGAIN BY'],
    roles.map(({ role, expiresAt, by }) => [role, day(expiresAt), by]),
  )
  output.line()
  if (acts.length === 0) output.line(`Until ${day(until)} nothing has to be done.`)
  else {
    output.table(
      ['WHEN', 'ROLE', 'EXPIRES', 'WHAT'],
      acts.map(({ at, role, expiresAt, plan }) => [day(at), role, day(expiresAt), plan]),
    )
  }
  output.line()
}

function day(time: string): string {
  return time.slice(0, 10)
}
