#!/bin/sh
# `npm test`: types and format first, since they are fast; then the rules of the linter beside the tests, since it takes minutes on a new machine
# and one processor. Arguments are mocha's.
set -u

npm run --silent check:types &
types=$!
npm run --silent check:format || exit 1
wait "$types" || exit 1

report=$(mktemp)
npm run --silent check:lint >"$report" 2>&1 &
lint=$!
trap 'kill "$lint" 2>/dev/null; rm -f "$report"' EXIT

mocha --config config/mocha.json --parallel --jobs 3 --ignore 'test/long/**' 'test/**/*.test.ts' "$@"
tests=$?

wait "$lint"
rules=$?
cat "$report"
[ "$tests" -eq 0 ] || exit "$tests"
exit "$rules"
