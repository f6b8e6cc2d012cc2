#!/bin/sh
# Checks this folder and asks its model once, by a POSIX shell and the C program alone (busybox will do):
#   sh install.sh [--key KEY] [--unsigned]
# KEY is the maker's public key, a file or its line RW...; without it key.pub is taken. Nothing is installed: the program
# runs where it lies.
set -eu
export LC_ALL=C

refuse() {
    echo "error: $*" >&2
    exit 1
}

key='' unsigned=''
while [ $# -gt 0 ]; do
    case $1 in
        --key)
            [ $# -gt 1 ] || refuse "--key KEY: a public key comes after it"
            key=$2
            [ ! -f "$key" ] || key=$(cd "$(dirname "$key")" && pwd)/$(basename "$key")
            shift
            ;;
        --unsigned) unsigned=1 ;;
        *) refuse "$1: not known; sh install.sh [--key KEY] [--unsigned]" ;;
    esac
    shift
done
cd "$(dirname "$0")"

# The lines are a digest and a name each, and name every file that there is.
name='[A-Za-z0-9_+-][A-Za-z0-9_.+-]*'
if [ ! -f SHA256SUMS ] || grep -Evq "^[0-9a-f]{64}  ($name/)*$name\$" SHA256SUMS; then
    refuse "SHA256SUMS is missing or damaged"
fi
there=$(find . ! -type d ! -path ./SHA256SUMS ! -path ./SHA256SUMS.minisig | sed 's,^\./,,' | sort)
[ "$there" = "$(cut -c 67- SHA256SUMS)" ] || refuse "SHA256SUMS does not list just the files that are here"
# What is said is kept in a variable: there may be no /dev/null.
said=$(sha256sum -c SHA256SUMS 2>&1) ||
    refuse "this folder was changed or damaged: $(echo "$said" | grep -v ': OK$' | head -n 1)"

tool=$(find runtime -type f -name tin | head -n 1)
[ -x "$tool" ] || refuse "there is no program for a shell here that can be run; GUIDE.md says what there is"
said=$("$tool" --version 2>&1) && [ "${said#tin }" != "$said" ] || refuse "$tool does not run on this machine"

if [ -n "$key" ] || [ -e SHA256SUMS.minisig ] || [ -e key.pub ]; then
    [ -e SHA256SUMS.minisig ] || refuse "there is no SHA256SUMS.minisig: this folder is not signed, or was changed"
    [ -n "$key" ] || [ -e key.pub ] || refuse "there is no key.pub here; give the maker's with --key"
    # minisign signs neither the first line nor the end of the last.
    first=$(head -n 1 SHA256SUMS.minisig)
    [ "$first" = 'untrusted comment: signature of a tinsmith pack' ] && [ "$(wc -l <SHA256SUMS.minisig)" -eq 4 ] ||
        refuse "SHA256SUMS.minisig is damaged"
    "$tool" signature SHA256SUMS --key "${key:-key.pub}" || refuse "SHA256SUMS is not what the owner of the key signed"
    [ -n "$key" ] || echo "signed by $(tail -n 1 key.pub): compare this with what its maker told you"
elif [ -z "$unsigned" ]; then
    refuse "this folder is not signed: anybody may have made it; --unsigned takes it all the same"
fi
echo "checked: $(wc -l <SHA256SUMS) files"

for tin in *.tin; do
    set -- verify "$tin"
    [ ! -e SHA256SUMS.minisig ] || set -- "$@" --key "${key:-key.pub}"
    said=$("$tool" "$@" 2>&1) || refuse "$tin does not pass its self-test here: $said"
    echo "self-test: passed on" $(echo "$said" | cut -d ' ' -f 1 | uniq)
    "$tool" run "$tin" "$(cat prompt.txt)" --tokens 32 | cmp -s - answer.txt || refuse "it does not answer as answer.txt has it"
done
echo "asked: $(cat prompt.txt)"
echo "answered: $(cat answer.txt)"
