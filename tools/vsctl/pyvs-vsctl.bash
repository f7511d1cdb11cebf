# Completion of pyvs-vsctl for bash.  The command itself knows what may follow.
_pyvs_vsctl()
{
    local words word candidates
    # Colons and equal signs belong to the words.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:COMP_POINT-1:1} == ' ' ]] && words+=('')
    word=${words[-1]}
    candidates=$("${words[0]}" --complete=$((${#words[@]} - 2)) -- "${words[@]:1}" 2>/dev/null)
    local IFS=$'\n'
    COMPREPLY=($candidates)
    # bash replaces only what follows the last word break.
    local break=${word%"${word##*[:=]}"}
    COMPREPLY=("${COMPREPLY[@]#"$break"}")
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:=] ]] && compopt -o nospace
}
complete -F _pyvs_vsctl pyvs-vsctl
