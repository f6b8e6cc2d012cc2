#!/bin/sh
# Checks this folder and asks its model once, by a POSIX shell and the C program alone (busybox will do):
#   sh install.sh --key KEY [--verifier PROGRAM | --own-verifier]
#   sh install.sh --unsigned
# KEY is the maker's public key, a file or its line RW.... A program that was on this machine before checks the signature:
# PROGRAM, or the first of minisign, tin and tinsmith that PATH has. Nothing of the folder runs before that. Nothing is
# installed: the program `tin` runs where it lies.
set -eu
export LC_ALL=C
unset CDPATH

refuse() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Of a program or a file: from the root on.
whole() (cd -- "$(dirname -- "$1")" && printf '%s/%s\n' "$(pwd -P)" "$(basename -- "$1")")

key='' unsigned='' verifier='' own=''
while [ $# -gt 0 ]; do
    case $1 in
        --key)
            [ $# -gt 1 ] || refuse "--key KEY: a public key comes after it"
            key=$2
            [ ! -f "$key" ] || key=$(whole "$key")
            shift
            ;;
        --verifier)
            [ $# -gt 1 ] || refuse "--verifier PROGRAM: minisign, tin or tinsmith comes after it"
            verifier=$(command -v -- "$2") || refuse "$2: no such program"
            verifier=$(whole "$verifier")
            shift
            ;;
        --own-verifier) own=1 ;;
        --unsigned) unsigned=1 ;;
        *) refuse "$1: not known; sh install.sh --key KEY [--verifier PROGRAM | --own-verifier], or --unsigned" ;;
    esac
    shift
done
cd -- "$(dirname -- "$0")"
here=$(pwd -P)

# Is the program from elsewhere? PATH may lead here, too.
outside() {
    case $1 in
        "$here"/*) return 1 ;;
    esac
}

# Has the program PROGRAM check the signature with $key. It runs in the root: it may load nothing from here.
check_signature() {
    case $(basename -- "$1") in
        minisign*)
            option=-P
            [ ! -f "$key" ] || option=-p
            set -- "$1" -Vqm "$here/SHA256SUMS" "$option" "$key"
            ;;
        tinsmith*) set -- "$1" verify "$here/SHA256SUMS" --plain --key "$key" ;;
        *) set -- "$1" signature "$here/SHA256SUMS" --key "$key" ;;
    esac
    output=$(cd / && "$@" 2>&1) || refuse "SHA256SUMS is not what the owner of the key signed; $1: $output"
}

# The lines are a digest and a name each, and name every file that there is.
name='[A-Za-z0-9_+][A-Za-z0-9_.+-]*'
if [ ! -f SHA256SUMS ] || grep -Evq "^[0-9a-f]{64}  ($name/)*$name\$" SHA256SUMS; then
    refuse "SHA256SUMS is missing or damaged"
fi
there=$(find . ! -type d ! -path ./SHA256SUMS ! -path ./SHA256SUMS.minisig | sed 's,^\./,,' | sort)
[ "$there" = "$(cut -c 67- SHA256SUMS)" ] || refuse "SHA256SUMS does not list just the files that are here"
# Output is kept in a variable: there may be no /dev/null.
output=$(sha256sum -c SHA256SUMS 2>&1) ||
    refuse "this folder was changed or damaged: $(printf '%s\n' "$output" | grep -v ': OK$' | head -n 1)"

if [ -n "$key" ] || [ -e SHA256SUMS.minisig ] || [ -e key.pub ]; then
    [ -e SHA256SUMS.minisig ] || refuse "there is no SHA256SUMS.minisig: this folder is not signed, or was changed"
    # minisign signs neither the first line nor the end of the last.
    first=$(head -n 1 SHA256SUMS.minisig)
    [ "$first" = 'untrusted comment: signature of a tinsmith pack' ] && [ "$(wc -l <SHA256SUMS.minisig)" -eq 4 ] ||
        refuse "SHA256SUMS.minisig is damaged"
    if [ -z "$key" ]; then
        [ -e key.pub ] || refuse "there is no key.pub here; give the maker's with --key"
        line=$(tail -n 1 key.pub)
        printf '%s\n' "$line" | grep -Eq '^RW[A-Za-z0-9+/]{54}$' || refuse "key.pub is damaged"
        [ -n "$unsigned" ] ||
            refuse "nothing of this folder was run: it says that it is signed by $line, as anybody could have it say. Compare this with what its maker told you by another way, and give it: --key $line"
        echo "not checked: who made this folder; --unsigned takes it from anybody"
    else
        for program in minisign tin tinsmith; do
            [ -z "$verifier$own" ] || break
            place=$(command -v "$program") && place=$(whole "$place") && outside "$place" && verifier=$place || continue
        done
        if [ -n "$own" ]; then
            echo "not checked: the signature, but by this folder's own program, which who changed the folder changed too"
        elif [ -z "$verifier" ]; then
            refuse "nothing of this folder was run: no program from outside it can check the signature, only that every file has the digest that SHA256SUMS lists, which anybody can write anew. Install minisign, or give --verifier PROGRAM; --own-verifier has this folder's program judge itself"
        else
            outside "$verifier" || refuse "$verifier is of this folder: it can't vouch for it; --own-verifier takes its word"
            check_signature "$verifier"
            echo "signature: by the owner of the key, says $verifier"
        fi
    fi
elif [ -z "$unsigned" ]; then
    refuse "this folder is not signed: anybody may have made it; --unsigned takes it all the same"
fi
echo "checked: $(wc -l <SHA256SUMS) files"

# From here on the folder's own program runs.
tool=$(find runtime -type f -name tin | head -n 1)
[ -x "$tool" ] || refuse "there is no program for a shell here that can be run; GUIDE.md says what there is"
output=$("$tool" --version 2>&1) && [ "${output#tin }" != "$output" ] || refuse "$tool does not run on this machine"
[ -z "$own" ] || check_signature "$here/$tool"

for tin in *.tin; do
    set -- verify "$tin"
    [ ! -e SHA256SUMS.minisig ] || set -- "$@" --key "${key:-key.pub}"
    output=$("$tool" "$@" 2>&1) || refuse "$tin does not pass its self-test here: $output"
    printf 'self-test: passed on %s\n' "$(printf '%s\n' "$output" | cut -d ' ' -f 1 | uniq | tr '\n' ' ')"
    "$tool" run "$tin" "$(cat prompt.txt)" --tokens 32 | cmp -s - answer.txt || refuse "it does not answer as answer.txt has it"
done
printf 'asked: %s\n' "$(cat prompt.txt)"
printf 'answered: %s\n' "$(cat answer.txt)"
