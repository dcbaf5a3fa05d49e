/* Facets: objects made of parts, adapters, and what a root provides. */
#include "check.h"
#include "logged.h"

struct shape {
    int corners;
};
SL_INTERFACE(shape);
struct square {
    struct shape base;
    int side;
};
SL_INTERFACE_EXTENDS(square, shape);
struct coloured_square {
    struct square base;
    int colour;
};
SL_INTERFACE_EXTENDS(coloured_square, square);
struct label {
    const char *text;
};
SL_INTERFACE(label);
struct price {
    int cents;
};
SL_INTERFACE(price);

/* The same interface as another shared object describes it. */
static sl_interface shape_elsewhere[1] = {{.name = "shape"}};

static char freed[64];

static void note_freed(void *facet)
{
    strcat(freed, ((struct label *)facet)->text);
}

/* ---- Objects ---- */

static void test_facets_are_found_by_interface(void **state)
{
    struct shape triangle = {.corners = 3};
    struct label name = {.text = "a triangle"};
    sl_object *object = sl_object_new("triangle");
    assert_null(sl_facet(object, shape));
    assert_int_equal(sl_object_add(object, shape, &triangle, NULL), 0);
    assert_int_equal(sl_object_add(object, label, &name, NULL), 0);
    assert_ptr_equal(sl_facet(object, shape), &triangle);
    assert_ptr_equal(sl_facet(object, label), &name);
    assert_null(sl_facet(object, price));
    assert_true(sl_object_remove(object, shape));
    assert_false(sl_object_remove(object, shape));
    assert_null(sl_facet(object, shape));
    assert_ptr_equal(sl_facet(object, label), &name);
    sl_object_unref(object);
    assert_null(sl_object_unref(NULL));
}

static void test_interfaces_are_the_same_when_their_names_are(void **state)
{
    struct shape triangle = {.corners = 3};
    sl_object *object = sl_object_new("triangle");
    assert_int_equal(sl__object_add(SL_HERE, object, shape_elsewhere, &triangle, NULL), 0);
    assert_ptr_equal(sl_facet(object, shape), &triangle);
    assert_int_equal(shape_elsewhere->index, shape_interface->index);
    assert_int_not_equal(shape_interface->index, label_interface->index);
    sl_object_unref(object);
}

static void test_facets_are_freed_with_the_last_reference_the_last_first(void **state)
{
    struct label one = {"1"}, two = {"2"}, three = {"3"};
    freed[0] = '\0';
    sl_object *object = sl_object_new("numbers");
    sl_object_add(object, label, &one, note_freed);
    sl__object_add(SL_HERE, object, shape_interface, &two, note_freed);
    sl__object_add(SL_HERE, object, price_interface, &three, note_freed);
    sl_object_ref(object);
    sl_object_unref(object);
    assert_string_equal(freed, "");
    sl_object_unref(object);
    assert_string_equal(freed, "321");
}

static void *adds_twice(void *data)
{
    struct label one = {"1"}, two = {"2"};
    freed[0] = '\0';
    sl_object *object = sl_object_new("the shop's sign");
    int first = __LINE__ + 1;
    assert_int_equal(sl_object_add(object, label, &one, NULL), 0);
    int second = __LINE__ + 1;
    assert_int_equal(sl_object_add(object, label, &two, note_freed), SL_EEXIST);
    assert_string_equal(freed, "2"); /* also when it fails */
    assert_ptr_equal(sl_facet(object, label), &one);
    assert_logged(
        "the shop's sign has a facet for label already, added at %s:%d; the second is added at %s:%d",
        __FILE__, first, __FILE__, second);
    sl_object_unref(object);
    return NULL;
}

static void test_a_second_facet_of_one_interface_is_an_error_naming_both_places(void **state)
{
    assert_int_equal(run_logged(adds_twice, NULL), 0);
}

static void test_a_facet_serves_for_the_interfaces_that_its_own_extends(void **state)
{
    struct coloured_square red = {.base.base.corners = 4, .colour = 1};
    struct shape plain = {.corners = 4};
    sl_object *object = sl_object_new("red square");
    sl_object_add(object, coloured_square, &red, NULL);
    for (int twice = 0; twice < 2; twice++) {
        assert_ptr_equal(sl_facet(object, square), &red);
        assert_ptr_equal(sl_facet(object, shape), &red);
    }
    sl_object_add(object, shape, &plain, NULL); /* one's own is nearer */
    assert_ptr_equal(sl_facet(object, shape), &plain);
    assert_ptr_equal(sl_facet(object, square), &red);
    sl_object_remove(object, shape);
    assert_ptr_equal(sl_facet(object, shape), &red);
    sl_object_remove(object, coloured_square);
    assert_null(sl_facet(object, shape));
    sl_object_unref(object);
}

static void *needs(void *data)
{
    return sl_facet_needed((sl_object *)data, price);
}

static void *asks_for_what_is_not_there(void *data)
{
    struct label name = {"l"};
    struct price two = {200};
    sl_object *object = sl_object_new("ware 7");
    sl_object_add(object, label, &name, NULL);
    sl_error *error;
    assert_null(sl_try(sl_spawn(needs, object), &error));
    assert_int_equal(error->code, SL_ENOENT);
    assert_string_equal(error->message, "ware 7 has no facet for price, but for label");
    assert_non_null(strstr(error->hint, "adapter"));
    sl_object_add(object, price, &two, NULL);
    assert_ptr_equal(sl_await(sl_spawn(needs, object)), &two);
    sl_object_unref(object);
    return NULL;
}

static void test_a_needed_facet_that_is_not_there_fails_with_what_is(void **state)
{
    assert_int_equal(run_logged(asks_for_what_is_not_there, NULL), 0);
}

/* ---- Adapters ---- */

static int made;
static struct label label_of_three = {"a"}, label_of_others = {"b"};

static void *label_of_shape(void *facet, sl_object *object)
{
    made++;
    return ((struct shape *)facet)->corners == 3 ? &label_of_three : NULL;
}

static void *label_of_price(void *facet, sl_object *object)
{
    made++;
    return &label_of_others;
}

static void *adapts(void *data)
{
    struct shape triangle = {.corners = 3};
    sl_root *root = sl_root_current();
    made = 0;
    freed[0] = '\0';
    sl_object *object = sl_object_new("triangle");
    sl_object_add(object, shape, &triangle, NULL);
    assert_null(sl_facet(object, label));
    assert_int_equal(sl_adapter_add(root, shape, label, label_of_shape, note_freed), 0);
    assert_ptr_equal(sl_facet(object, label), &label_of_three);
    assert_ptr_equal(sl_facet(object, label), &label_of_three);
    assert_int_equal(made, 1); /* the object keeps it */
    assert_true(sl_adapter_remove(root, shape, label));
    assert_false(sl_adapter_remove(root, shape, label));
    assert_string_equal(freed, "a");
    assert_null(sl_facet(object, label));
    sl_adapter_add(root, shape, label, label_of_shape, note_freed);
    assert_ptr_equal(sl_facet(object, label), &label_of_three);
    sl_object_remove(object, shape); /* and with it what was made of it */
    assert_string_equal(freed, "aa");
    assert_null(sl_facet(object, label));
    sl_object_add(object, shape, &triangle, NULL);
    assert_ptr_equal(sl_facet(object, label), &label_of_three);
    sl_object_unref(object);
    assert_string_equal(freed, "aaa");
    return NULL;
}

static void test_what_an_adapter_makes_is_kept_while_all_it_depends_on_is_there(void **state)
{
    assert_int_equal(run_logged(adapts, NULL), 0);
}

static void *asks_several(void *data)
{
    struct coloured_square red = {.base.base.corners = 4};
    struct price cheap = {1};
    struct label own = {"own"};
    sl_root *root = sl_root_current();
    sl_adapter_add(root, shape, label, label_of_shape, NULL);
    sl_adapter_add(root, price, label, label_of_price, NULL);
    sl_object *object = sl_object_new("red square");
    sl_object_add(object, coloured_square, &red, NULL);
    assert_null(sl_facet(object, label)); /* the one for shapes cannot for this */
    sl_object_add(object, price, &cheap, NULL);
    assert_ptr_equal(sl_facet(object, label), &label_of_others);
    sl_object_add(object, label, &own, NULL); /* one's own is nearer, though the other is kept */
    assert_ptr_equal(sl_facet(object, label), &own);
    sl_object_remove(object, label);
    assert_ptr_equal(sl_facet(object, label), &label_of_others);
    red.base.base.corners = 3;
    sl_object *other = sl_object_new("another");
    sl_object_add(other, coloured_square, &red, NULL); /* adapters take what extends their interface */
    assert_ptr_equal(sl_facet(other, label), &label_of_three);
    sl_object_unref(other);
    sl_object_unref(object);
    return NULL;
}

static void test_adapters_are_asked_in_order_until_one_can(void **state)
{
    assert_int_equal(run_logged(asks_several, NULL), 0);
}

static struct square square_of_label = {.base.corners = 4};

static void *to_square(void *facet, sl_object *object)
{
    return &square_of_label;
}

static struct shape shape_of_label_facet = {.corners = 5};

static void *to_shape(void *facet, sl_object *object)
{
    return &shape_of_label_facet;
}

static void *extends_by_adapter(void *data)
{
    struct label name = {"l"};
    struct square own = {.base.corners = 4};
    sl_root *root = sl_root_current();
    sl_object *object = sl_object_new("named");
    sl_object_add(object, label, &name, NULL);
    sl_adapter_add(root, label, square, to_square, NULL);
    assert_ptr_equal(sl_facet(object, shape), &square_of_label); /* an adapted one that extends it */
    sl_object_add(object, square, &own, NULL);
    assert_ptr_equal(sl_facet(object, shape), &own);
    sl_adapter_add(root, label, shape, to_shape, NULL); /* an adapter to the very interface is nearer */
    assert_ptr_equal(sl_facet(object, shape), &shape_of_label_facet);
    sl_object_unref(object);
    return NULL;
}

static void test_look_up_falls_from_own_to_adapted_to_extending(void **state)
{
    assert_int_equal(run_logged(extends_by_adapter, NULL), 0);
}

static void *label_there(void *facet, sl_object *object)
{
    return &label_of_others;
}

static void *adapts_in_two_roots(void *data)
{
    struct shape triangle = {.corners = 3};
    sl_object *object = sl_object_new("seen by two");
    sl_object_add(object, shape, &triangle, NULL);
    sl_root *here = sl_root_current(), *there = sl_root_new(sl_loop_current(), "there");
    sl_adapter_add(here, shape, label, label_of_shape, NULL);
    freed[0] = '\0';
    assert_ptr_equal(sl_facet(object, label), &label_of_three);
    {
        SL_IN_ROOT(there);
        assert_null(sl_facet(object, label));
        sl_adapter_add(there, shape, label, label_there, note_freed);
        assert_ptr_equal(sl_facet(object, label), &label_of_others);
    }
    assert_ptr_equal(sl_facet(object, label), &label_of_three);
    sl_root_unref(there); /* and with it what its adapters made */
    assert_string_equal(freed, "b");
    assert_ptr_equal(sl_facet(object, label), &label_of_three);
    sl_object_unref(object);
    return NULL;
}

static void test_adapters_are_of_their_root(void **state)
{
    assert_int_equal(run_logged(adapts_in_two_roots, NULL), 0);
}

static void *registers_twice(void *data)
{
    sl_root *root = sl_root_current();
    int first = __LINE__ + 1;
    assert_int_equal(sl_adapter_add(root, shape, label, label_of_shape, NULL), 0);
    int second = __LINE__ + 1;
    assert_int_equal(sl_adapter_add(root, shape, label, label_of_price, NULL), SL_EEXIST);
    assert_logged(
        "test has an adapter from shape to label already, added at %s:%d; the second is added at %s:%d",
        __FILE__, first, __FILE__, second);
    assert_int_equal(sl_adapter_add(root, price, label, label_of_price, NULL), 0);
    return NULL;
}

static void test_a_second_adapter_is_an_error_naming_both_places(void **state)
{
    assert_int_equal(run_logged(registers_twice, NULL), 0);
}

static sl_object *neighbour;
static int depth;

/* Looks at its own object for what it is to make, and at another. */
static void *looks_back(void *facet, sl_object *object)
{
    depth++;
    assert_null(sl_facet(object, price));
    if (object != neighbour)
        assert_non_null(sl_facet(neighbour, price));
    return facet;
}

/* Removes itself. */
static void *leaves(void *facet, sl_object *object)
{
    sl_adapter_remove(sl_root_current(), shape, label);
    return &label_of_three;
}

static void *adapts_strangely(void *data)
{
    struct label name = {"l"};
    struct shape triangle = {.corners = 3};
    sl_root *root = sl_root_current();
    sl_object *object = sl_object_new("one");
    neighbour = sl_object_new("the other");
    sl_object_add(object, label, &name, NULL);
    sl_object_add(neighbour, label, &name, NULL);
    sl_adapter_add(root, label, price, looks_back, NULL);
    assert_ptr_equal((void *)sl_facet(object, price), &name);
    assert_int_equal(depth, 2);
    sl_object_remove(object, label);
    sl_object_add(object, shape, &triangle, NULL);
    sl_adapter_add(root, shape, label, leaves, note_freed);
    freed[0] = '\0';
    assert_null(sl_facet(object, label));
    assert_string_equal(freed, "a");
    sl_object_unref(object);
    sl_object_unref(neighbour);
    return NULL;
}

static void test_an_adapter_may_look_at_objects_and_remove_itself(void **state)
{
    assert_int_equal(run_logged(adapts_strangely, NULL), 0);
}

/* ---- Roots ---- */

static void *provides(void *data)
{
    struct label name = {"n"}, other = {"o"};
    assert_null(sl_provided(label));
    sl_object_add(sl_root_object(sl_root_current()), label, &name, NULL);
    assert_ptr_equal(sl_provided(label), &name);
    sl_root *there = sl_root_new(sl_loop_current(), "there");
    freed[0] = '\0';
    sl_object_add(sl_root_object(there), label, &other, note_freed);
    {
        SL_IN_ROOT(there);
        assert_ptr_equal(sl_provided(label), &other);
    }
    sl_root_unref(there);
    assert_string_equal(freed, "o");
    assert_ptr_equal(sl_provided(label), &name);
    return NULL;
}

static void test_a_root_is_an_object(void **state)
{
    assert_null(sl_provided(label)); /* outside any root */
    assert_int_equal(run_logged(provides, NULL), 0);
}

static void release_root(void *facet)
{
    strcat(freed, "r");
    sl_root_unref(((void **)facet)[0]);
}

static void test_a_facet_that_refers_to_its_root_goes_with_the_loop(void **state)
{
    sl_loop *loop;
    assert_int_equal(sl_loop_new(&loop), 0);
    sl_root *root = sl_root_new(loop, "round and round");
    void *facet[] = {sl_root_ref(root)};
    freed[0] = '\0';
    sl__object_add(SL_HERE, sl_root_object(root), label_interface, facet, release_root);
    sl_root_unref(root);
    sl_loop_free(loop);
    assert_string_equal(freed, "r");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facets_are_found_by_interface),
        cmocka_unit_test(test_interfaces_are_the_same_when_their_names_are),
        cmocka_unit_test(test_facets_are_freed_with_the_last_reference_the_last_first),
        cmocka_unit_test(test_a_second_facet_of_one_interface_is_an_error_naming_both_places),
        cmocka_unit_test(test_a_facet_serves_for_the_interfaces_that_its_own_extends),
        cmocka_unit_test(test_a_needed_facet_that_is_not_there_fails_with_what_is),
        cmocka_unit_test(test_what_an_adapter_makes_is_kept_while_all_it_depends_on_is_there),
        cmocka_unit_test(test_adapters_are_asked_in_order_until_one_can),
        cmocka_unit_test(test_look_up_falls_from_own_to_adapted_to_extending),
        cmocka_unit_test(test_adapters_are_of_their_root),
        cmocka_unit_test(test_a_second_adapter_is_an_error_naming_both_places),
        cmocka_unit_test(test_an_adapter_may_look_at_objects_and_remove_itself),
        cmocka_unit_test(test_a_root_is_an_object),
        cmocka_unit_test(test_a_facet_that_refers_to_its_root_goes_with_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
