// SoftHSM's module with single functions that answer something else while a test says so, and that are counted: what real tokens do and
// SoftHSM does not.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Scope } from './scope.ts'
import { SOFTHSM_MODULE } from './softhsm.ts'

/** Places in CK_FUNCTION_LIST (PKCS #11 2.40, section 5). */
const FUNCTIONS = { C_Login: 18, C_DestroyObject: 22, C_GetAttributeValue: 24, C_SignInit: 42 } as const

type FunctionName = keyof typeof FUNCTIONS

/** Results by their number (PKCS #11 2.40, pkcs11t.h); `hang` and `crash` instead of one. */
export const RESULTS = {
  CKR_GENERAL_ERROR: 0x5,
  CKR_FUNCTION_FAILED: 0x6,
  CKR_DEVICE_ERROR: 0x30,
  CKR_DEVICE_REMOVED: 0x32,
  CKR_PIN_LOCKED: 0xa4,
  CKR_SESSION_HANDLE_INVALID: 0xb3,
  CKR_USER_ALREADY_LOGGED_IN: 0x100,
  CKR_VENDOR_DEFINED: 0x8000_0001,
} as const

export class FaultyModule {
  readonly path: string
  readonly #folder: string

  constructor(scope: Scope) {
    this.#folder = scope.folder('module')
    this.path = join(this.#folder, 'module.so')
    mkdirSync(join(this.#folder, 'faults'))
    const source = join(this.#folder, 'module.c')
    writeFileSync(source, code(join(this.#folder, 'faults')))
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', this.path, source, '-ldl'])
  }

  /** From now on the function answers this, after it has done what it does where `isDone`. */
  fault(name: FunctionName, answer: keyof typeof RESULTS | 'hang' | 'crash', isDone = false): void {
    const number = answer === 'hang' || answer === 'crash' ? answer : String(RESULTS[answer])
    writeFileSync(join(this.#folder, 'faults', name), `${isDone ? 'after' : 'before'} ${number}`)
  }

  heal(name: FunctionName): void {
    rmSync(join(this.#folder, 'faults', name), { force: true })
  }

  /** How often the function was called. */
  calls(name: FunctionName): number {
    const file = join(this.#folder, 'faults', `${name}.calls`)
    return existsSync(file) ? readFileSync(file).byteLength : 0
  }
}

function code(folder: string): string {
  const functions = Object.entries(FUNCTIONS).map(
    ([name, index]) => `
static CK_RV my_${name}(A a, A b, A c, A d, A e, A f) {
  CALL real_call = (CALL)real->calls[${index}];
  FILE *count = fopen("${folder}/${name}.calls", "a");
  if (count) { fputc('.', count); fclose(count); }
  char when[16] = "", what[32] = "";
  FILE *fault = fopen("${folder}/${name}", "r");
  if (fault) { if (fscanf(fault, "%15s %31s", when, what) != 2) abort(); fclose(fault); }
  if (!*what) return real_call(a, b, c, d, e, f);
  if (!strcmp(when, "after")) real_call(a, b, c, d, e, f);
  if (!strcmp(what, "hang")) for (;;) pause();
  if (!strcmp(what, "crash")) abort();
  return strtoul(what, 0, 10);
}`,
  )
  return `
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef unsigned long CK_RV;
typedef unsigned long A;
typedef CK_RV (*CALL)(A, A, A, A, A, A);
struct list { unsigned char version[2]; void *calls[68]; };
static struct list *real, mine;
${functions.join('\n')}
CK_RV C_GetFunctionList(struct list **out) {
  void *module = dlopen("${SOFTHSM_MODULE}", RTLD_NOW | RTLD_LOCAL);
  if (!module) return 5;
  CK_RV (*get)(struct list **) = (CK_RV (*)(struct list **))dlsym(module, "C_GetFunctionList");
  CK_RV result = get(&real);
  if (result) return result;
  mine = *real;
${Object.entries(FUNCTIONS)
  .map(([name, index]) => `  mine.calls[${index}] = (void *)my_${name};`)
  .join('\n')}
  *out = &mine;
  return 0;
}
`
}
