// Commands about one repository, or about all that the token may see.
import type * as z from 'zod'
import { EXIT, type ExitStatus } from './errors.ts'
import { repositoryArgument } from './image-list/list.ts'
import { repositoryListSchema } from './resources.ts'
import type { Session } from './session.ts'

/** The one that was named; else all of them. */
export async function namedRepositories(session: Session, text: string | undefined): Promise<readonly string[]> {
  if (text !== undefined) return [repositoryArgument(text)]
  const api = await session.api()
  const { repositories } = await api.call({ method: 'GET', path: 'v1/repositories', answer: repositoryListSchema })
  return repositories.map(({ gun }) => gun)
}

/** Shows what one path below a repository answers: of the repository that was named, or of all, whose documents are a list then. */
export async function showOfRepositories<T>(
  session: Session,
  text: string | undefined,
  o: { readonly below: string; readonly answer: z.ZodType<T>; readonly print: (found: T) => void },
): Promise<ExitStatus> {
  const guns = await namedRepositories(session, text)
  const api = await session.api()
  const found: T[] = []
  for (const gun of guns) {
    const path = `v1/repositories/${encodeURIComponent(gun)}/${o.below}`
    found.push(await api.call({ method: 'GET', path, answer: o.answer }))
  }
  session.output.document(text === undefined ? { repositories: found } : found[0])
  for (const one of found) o.print(one)
  return EXIT.done
}
