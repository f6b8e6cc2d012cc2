/* Ends what lanes_set.h begins. */
#undef LANES
#undef LANE
#undef TINI_JOINED
#undef TINI_JOIN
#undef TINI_OF
#undef TINI_SET
#undef TINI_LANES
