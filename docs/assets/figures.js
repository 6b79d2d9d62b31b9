// A figure opens in its full size.
for (const image of document.querySelectorAll('.md-content__inner img')) {
  if (image.closest('a')) continue;
  const link = document.createElement('a');
  link.href = image.src;
  link.className = 'figure';
  link.title = 'Open in full size';
  image.replaceWith(link);
  link.append(image);
}
