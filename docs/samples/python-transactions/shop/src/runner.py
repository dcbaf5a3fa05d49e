"""A book shop: orders are Django's, the shelves are Storm's, the journal is plain SQL. A request is one transaction for all
three."""

import django
import silver
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import models, transaction
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

import shop

settings.configure(
    SECRET_KEY=silver.secret(), ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={"default": {"ENGINE": "silver.django.sqlite"}})
django.setup()


class Order(models.Model):
    book_id = models.IntegerField()
    buyer = models.TextField()

    class Meta:
        app_label, db_table, managed = "shop", "order", False


def sell(title, buyer):
    book = shop.book_of(title)
    made = Order.objects.create(book_id=book.id, buyer=buyer)
    shop.write_down(f"{buyer} buys {title}")
    shop.take(book)
    silver.emit_on_commit("shop/orders", "made", {"id": made.id, "title": title})
    return made


def order(request):
    try:
        made = sell(request.POST["title"], request.POST["buyer"])
    except shop.SoldOut:
        return HttpResponse("sold out\n", status=409)
    return HttpResponse(f"order {made.id}\n", status=201)


def order_many(request):
    """What can be had of several titles."""
    had = []
    for title in request.POST.getlist("title"):
        try:
            with transaction.atomic():
                sell(title, request.POST["buyer"])
            had.append(title)
        except shop.SoldOut:
            shop.write_down(f"no more {title}")
    return HttpResponse("".join(f"{title}\n" for title in had))


def list_orders(request):
    lines = (f"{each.buyer}\n" for each in Order.objects.order_by("id").iterator())
    return StreamingHttpResponse(lines, content_type="text/plain")


def stock(request):
    store = silver.storm.store()
    return JsonResponse({book.title: book.stock for book in store.find(shop.Book)})


urlpatterns = [path("order", order), path("order-many", order_many), path("orders", list_orders), path("stock", stock)]

with silver.transaction():
    silver.database().executescript(shop.TABLES)

application = get_wsgi_application()
