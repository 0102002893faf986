/* without.h - a test program built without the feature that it tests. */
#ifndef GLIM_TESTS_UTIL_WITHOUT_H
#define GLIM_TESTS_UTIL_WITHOUT_H

/* One test that passes, for a program that tests nothing counts as failed. What main returns. */
int run_without(void);

#endif
