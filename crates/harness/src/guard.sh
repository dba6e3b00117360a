# The guard of a zillions tool: ends what the tool has started, should the tool be killed.
#
# Standard input is a pipe from the tool: '+ ID' when a process group was started, '- ID' when it
# has been ended. The pipe closes when the tool ends, in whatever way. $1 is the name of the
# variable that marks all processes of the tool's groups, $2 what its values begin with.

trap '' HUP INT TERM
open=' '
while read -r sign group; do
    case "$sign$open" in
    +*) open="$open$group " ;;
    -*" $group "*) open="${open%% "$group" *} ${open#* "$group" }" ;;
    esac
done
# As a rule the tool has ended all of them.
[ "$open" = ' ' ] && exit

round=0
found=yes
while [ -n "$found" ] && [ "$round" -lt 20 ]; do
    round=$((round + 1))
    found=
    for group in $open; do
        kill -KILL -- "-$group"
    done
    # Those that have left their group.
    for environ in /proc/[0-9]*/environ; do
        if tr '\0' '\n' <"$environ" | grep -q "^$1=$2"; then
            found=yes
            pid=${environ#/proc/}
            kill -KILL "${pid%/environ}"
        fi
    done
done
