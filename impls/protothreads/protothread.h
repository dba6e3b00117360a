// Protothreads: functions that stop in the middle and go on there when they are called again.
//
// All that is kept of one meanwhile is the line where it has stopped. `switch` jumps there,
// into loops and blocks if need be, which C permits since Duff's device. Local variables are
// lost at each stop; what has to survive belongs into the structure that the function is given.
#ifndef PROTOTHREAD_H
#define PROTOTHREAD_H

typedef unsigned short place; // a line; 0 is the beginning
enum progress { WAITING, YIELDED, ENDED };

#define BEGIN(place) switch (place) { case 0:
#define END(place) } (place) = 0; return ENDED

// Goes on in the call in which the condition holds: in this one, if it holds already.
#define WAIT_UNTIL(place, condition) \
    (place) = __LINE__; __attribute__((fallthrough)); \
    case __LINE__: if (!(condition)) return WAITING

// Goes on in the next call.
#define YIELD(place) \
    do { (place) = __LINE__; return YIELDED; case __LINE__:; } while (0)

// Calls another protothread, in each call, until it has ended.
#define AWAIT(place, call) WAIT_UNTIL(place, (call) == ENDED)

#endif
