# Completions of pmem for bash. 'pmem complete bash' prints this file.

_pmem() {
    # The words up to the cursor as they were typed: bash also splits them at the characters of COMP_WORDBREAKS.
    local rest=${COMP_LINE:0:COMP_POINT} words=() bare word i
    for ((i = 0; i <= COMP_CWORD; i++)); do
        bare=${rest#"${rest%%[![:space:]]*}"}
        word=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || word=$bare
        if ((i == 0)) || [[ $bare != "$rest" ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
        rest=${bare#"$word"}
    done

    # Bash replaces what follows the last of those characters, or within quotes all that follows the quote.
    local typed=${words[${#words[@]} - 1]} kept
    case $typed in
        [\"\']*) typed=${typed#?} kept= ;;
        *) kept=${typed%"${typed##*[$COMP_WORDBREAKS]}"} ;;
    esac
    case $typed in
        *[\"\'\\\`\$]*) return ;;
    esac
    words[${#words[@]} - 1]=$typed

    mapfile -t COMPREPLY < <(command pmem complete -- "${words[@]}" 2>/dev/null)
    if [[ ${COMPREPLY[0]-} == $'\t'* ]]; then
        COMPREPLY=()
        compopt -o default
        return
    fi
    COMPREPLY=("${COMPREPLY[@]%%$'\t'*}")
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
}

complete -o nosort -F _pmem pmem 2>/dev/null || complete -F _pmem pmem
