#!/usr/bin/env node
// `countersign` in one file, for machines that only ask: what runs a service, and what needs its databases, is not in it.
import { startProcess } from './process.ts'

startProcess(async () => (await import('./cli/client-program.ts')).run)
